//! Rows of a CSV with a header. One column holds the address; the others are fields of the mail or
//! variables.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use postroom_core::{InvalidInput, Mail, Mailbox};
use postroom_enqueue::short_name;
use serde_json::{Map, Value};

use super::{
    records::{MAX_COLUMNS, MAX_RECORD, RecordSize, Records},
    row::{BulkRow, Rows, Unreadable, is_address, is_mail_field},
};

/// The columns that the header names.
struct Columns {
    count: usize,
    /// Index of the address column.
    address: usize,
    /// Index and name of each field of the mail.
    fields: Vec<(usize, String)>,
    /// Index and name of each variable.
    variables: Vec<(usize, String)>,
}

struct CsvRows<R> {
    records: Records<R>,
    columns: Columns,
}

/// Reads the header and returns an iterator over the rows.
///
/// # Errors
///
/// [`InvalidInput`] if the header can't be read or does not name exactly one address column.
pub(super) fn open(name: &str, input: impl Read + 'static) -> Result<Rows, InvalidInput> {
    let refuse = |problem: String| InvalidInput::new("--csv", format!("{name} {problem}"));
    let mut records = Records::new(input);
    if !records.advance().map_err(|error| refuse(format!("can't be read: {error}")))? {
        return Err(refuse("is empty: it needs a header and rows".to_owned()));
    }
    if let Some(size) = records.oversize() {
        return Err(refuse(format!("has an invalid header: {}", too_large(&size))));
    }
    let columns = Columns::of(&records).map_err(refuse)?;
    Ok(Box::new(CsvRows { records, columns }))
}

fn too_large(size: &RecordSize) -> String {
    if size.columns > MAX_COLUMNS as u64 {
        return format!("it has {} fields; a row may have {MAX_COLUMNS}", size.columns);
    }
    let (bytes, lines) = (size.bytes, size.lines);
    format!("it has {bytes} bytes in {lines} lines; a row may have {MAX_RECORD} (is a quote left open?)")
}

impl Columns {
    fn of<R: Read>(header: &Records<R>) -> Result<Self, String> {
        let names: Vec<&str> = (0..header.columns())
            .map(|at| std::str::from_utf8(header.field(at)).map(str::trim))
            .collect::<Result<_, _>>()
            .map_err(|_| "is not UTF-8, line 1".to_owned())?;
        let mut addresses = names.iter().enumerate().filter(|(_, name)| is_address(name)).map(|(at, _)| at);
        let address = match (addresses.next(), addresses.next()) {
            (Some(address), None) => address,
            (Some(_), Some(_)) => {
                return Err("has more than one address column; it may have one, named to or email".to_owned());
            }
            (None, _) => return Err(no_address_column(&names)),
        };
        let (fields, variables) = named(&names, address)?.into_iter().partition(|(_, name)| is_mail_field(name));
        Ok(Self { count: names.len(), address, fields, variables })
    }

    fn mail<R: Read>(&self, record: &Records<R>) -> Result<Mail, String> {
        let text = |at: usize| std::str::from_utf8(record.field(at)).map_err(|_| "it is not UTF-8".to_owned());
        let to: Mailbox = text(self.address)?.parse().map_err(|error: InvalidInput| error.to_string())?;
        let vars = self.variables.iter().map(|(at, name)| Ok((name.clone(), Value::String(text(*at)?.to_owned()))));
        let vars = vars.collect::<Result<Map<_, _>, String>>()?;
        Ok(Mail { to: vec![to], vars, ..self.fields(record)? })
    }

    /// Returns a mail with the fields of a record; an empty one is absent.
    fn fields<R: Read>(&self, record: &Records<R>) -> Result<Mail, String> {
        let mut mail = Mail::default();
        for (at, name) in &self.fields {
            let text = std::str::from_utf8(record.field(*at)).map_err(|_| "it is not UTF-8".to_owned())?.trim();
            if !text.is_empty() {
                mail = field(name, text).map_err(|problem| format!("{name}: {problem}"))?.over(&mail);
            }
        }
        Ok(mail)
    }
}

/// Returns a mail with one field, read as in the JSON form of a mail.
fn field(name: &str, text: &str) -> Result<Mail, String> {
    let mail = Map::from_iter([(name.to_owned(), Value::String(text.to_owned()))]);
    serde_json::from_value(Value::Object(mail)).map_err(|error| error.to_string())
}

fn no_address_column(names: &[&str]) -> String {
    let found: String = names.join(", ").chars().take(200).collect();
    format!("has no address column: the header must name one column to or email (found: {found})")
}

/// Returns index and name of each column but the address. Columns without a name are ignored:
/// spreadsheets append empty ones.
///
/// Two columns with the same short name are an error, since a template can't tell them apart.
fn named(names: &[&str], address: usize) -> Result<Vec<(usize, String)>, String> {
    let (mut all, mut by_short) = (Vec::new(), BTreeMap::new());
    for (at, name) in names.iter().enumerate().filter(|(at, name)| *at != address && !name.is_empty()) {
        let short = short_name(name).into_owned();
        let key = if short.is_empty() { (*name).to_owned() } else { short.clone() };
        match by_short.insert(key, *name) {
            Some(other) if other == *name => return Err(format!("has two columns named {name}")),
            Some(other) => {
                return Err(format!("has two columns for one variable: {other:?} and {name:?} are both {short}"));
            }
            None => all.push((at, (*name).to_owned())),
        }
    }
    Ok(all)
}

impl<R: Read> Iterator for CsvRows<R> {
    type Item = Result<BulkRow, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.records.advance() {
            Ok(false) => None,
            Ok(true) => {
                let line = self.line();
                let mail = self.problem().map_or_else(|| self.columns.mail(&self.records), Err);
                Some(mail.map(|mail| BulkRow { line, mail }).map_err(|problem| Unreadable::Row { line, problem }))
            }
            Err(error) => Some(Err(unreadable(&error))),
        }
    }
}

impl<R: Read> CsvRows<R> {
    /// Line on which the record begins. The parser reports the line on which it ends.
    fn line(&self) -> u64 {
        // With an open quote, the last line break is inside the record.
        let after = u64::from(!self.records.ends_in_quotes());
        self.records.line().saturating_sub(after + self.records.breaks())
    }

    /// Returns why the record is not a valid row.
    fn problem(&self) -> Option<String> {
        if self.records.ends_in_quotes() {
            let lines = self.records.size().lines;
            return Some(format!("the quote opened here is never closed: it swallows the {lines} lines from here on"));
        }
        if let Some(size) = self.records.oversize() {
            return Some(too_large(&size));
        }
        let (found, expected) = (self.records.columns(), self.columns.count);
        (found != expected).then(|| format!("it has {found} fields, but the header has {expected}"))
    }
}

fn unreadable(error: &io::Error) -> Unreadable {
    Unreadable::Input(InvalidInput::new("--csv", format!("reading failed: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &'static str) -> Rows {
        open("test.csv", text.as_bytes()).expect("a header")
    }

    fn lines(text: &'static str) -> Vec<(u64, bool)> {
        rows(text)
            .map(|row| match row {
                Ok(row) => (row.line, true),
                Err(Unreadable::Row { line, .. }) => (line, false),
                Err(Unreadable::Input(problem)) => panic!("{problem}"),
            })
            .collect()
    }

    #[test]
    fn a_row_is_reported_with_the_line_it_begins_on() {
        let text = "\u{feff}email,name\n\na@b,\"two\nlines\"\n\n\nx,y\na@b\na@b,\"q\"\"\n\"\nlast@b,z";
        let expected = [(3, true), (7, false), (8, false), (9, true), (11, true)];
        assert_eq!(lines(text), expected);
        assert_eq!(lines("email,name\r\n\r\na@b,\"two\r\nlines\"\r\nx,y\r\n"), [(3, true), (5, false)]);
    }

    #[test]
    fn an_unclosed_quote_is_reported() {
        for text in [
            "email,name\nx@y,ok\na@b,\"A\nb@c,B\n",
            "email,name\nx@y,ok\n\"a@b,A\nb@c,B\nc@d,C",
            "email,name\nx@y,5\"\na@b,\"A\nb@c,B\n",
        ] {
            assert_eq!(lines(text), [(2, true), (3, false)], "{text}");
            let Some(Err(Unreadable::Row { problem, .. })) = rows(text).last() else { panic!("not reported: {text}") };
            assert!(problem.contains(&format!("the {} lines from here on", text.lines().count() - 2)), "{problem}");
        }
        // A quote inside an unquoted field is an ordinary character.
        assert_eq!(lines("email,name\na@b,5\" pipe\nb@c,B"), [(2, true), (3, true)]);
    }
}

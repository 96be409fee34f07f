//! Rows of a CSV with a header. One column holds the address; the others are fields of the mail or
//! variables.

mod address_column;
mod cell;
#[cfg(test)]
mod corpus;
mod delimiter;
mod header;
mod quotes;
mod records;
mod unix_lines;

use std::{borrow::Cow, collections::BTreeMap, io::Read};

use postroom_core::{InvalidInput, Mail, Mailbox};
use postroom_enqueue::short_name;
use serde_json::{Map, Value};

use self::records::Records;
pub(crate) use self::{delimiter::Delimiter, header::CsvRowFormat};
pub(super) use self::{
    header::CsvHeader,
    quotes::{QuoteCheck, QuoteProblem},
    records::MAX_RECORD,
};
use super::row::{BulkRow, Rows, Unreadable, is_mail_field};

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

/// Returns an iterator over the rows after the header.
///
/// # Errors
///
/// [`InvalidInput`] if the file has changed since its header was read.
pub(super) fn open(header: &CsvHeader, input: impl Read + 'static) -> Result<Rows, InvalidInput> {
    let mut records = Records::new(input, header.delimiter);
    for _ in 0..header.records {
        records.advance().map_err(|error| InvalidInput::new("--csv", format!("reading failed: {error}")))?;
    }
    Ok(Box::new(CsvRows { records, columns: Columns::of(header)? }))
}

impl Columns {
    fn of(header: &CsvHeader) -> Result<Self, InvalidInput> {
        let (names, address) = (&header.names, header.address);
        let named = named(names, address).map_err(|problem| InvalidInput::new("--csv", problem))?;
        let (fields, variables) = named.into_iter().partition(|(_, name)| is_mail_field(name));
        Ok(Self { count: names.len(), address, fields, variables })
    }

    fn mail<R: Read>(&self, record: &Records<R>) -> Result<Mail, String> {
        let to = value(record, self.address)?;
        if to.is_empty() {
            return Err("its address is empty".to_owned());
        }
        let to: Mailbox = to.parse().map_err(|error: InvalidInput| error.to_string())?;
        let vars = self.variables.iter().map(|(at, name)| {
            let text = value(record, *at)?.into_owned();
            Ok((name.clone(), Value::String(text)))
        });
        let vars = vars.collect::<Result<Map<_, _>, String>>()?;
        Ok(Mail { to: vec![to], vars, ..self.fields(record)? })
    }

    /// Returns a mail with the fields of a record, read as in the JSON form of a mail; an empty one
    /// is absent.
    fn fields<R: Read>(&self, record: &Records<R>) -> Result<Mail, String> {
        if self.fields.is_empty() {
            return Ok(Mail::default());
        }
        let texts = self.fields.iter().map(|(at, name)| Ok((name.clone(), value(record, *at)?.into())));
        Mail::from_json_object(texts.collect::<Result<_, String>>()?).map_err(|error| error.to_string())
    }
}

/// Returns the value of a field; empty after the last one.
fn value<R: Read>(record: &Records<R>, at: usize) -> Result<Cow<'_, str>, String> {
    let text = std::str::from_utf8(record.field(at)).map_err(|_| "it is not UTF-8".to_owned())?;
    Ok(cell::value(text))
}

/// Returns index and name of each column but the address. Columns without a name are ignored:
/// spreadsheets append empty ones.
///
/// Two columns with the same short name are an error, since a template can't tell them apart.
fn named(names: &[String], address: usize) -> Result<Vec<(usize, String)>, String> {
    let (mut all, mut by_short) = (Vec::new(), BTreeMap::new());
    for (at, name) in names.iter().enumerate().filter(|(at, name)| *at != address && !name.is_empty()) {
        let short = short_name(name).into_owned();
        let key = if short.is_empty() { name.clone() } else { short.clone() };
        match by_short.insert(key, name) {
            Some(other) if other == name => {
                return Err(format!("the header has two columns named {name}; rename one"));
            }
            Some(other) => {
                return Err(format!(
                    "the header has two columns for one variable: {other:?} and {name:?} are both {short}; rename one"
                ));
            }
            None => all.push((at, name.clone())),
        }
    }
    Ok(all)
}

impl<R: Read> Iterator for CsvRows<R> {
    type Item = Result<BulkRow, Unreadable>;

    /// Returns the next row; a record without any value is none.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.records.advance() {
                Ok(false) => return None,
                Ok(true) if self.is_empty() => {}
                Ok(true) => return Some(self.row()),
                Err(error) => {
                    let problem = InvalidInput::new("--csv", format!("reading failed: {error}"));
                    return Some(Err(Unreadable::Input(problem)));
                }
            }
        }
    }
}

impl<R: Read> CsvRows<R> {
    fn row(&self) -> Result<BulkRow, Unreadable> {
        let line = self.records.line();
        let mail = self.problem().map_or_else(|| self.columns.mail(&self.records), Err);
        mail.map(|mail| BulkRow { line, mail }).map_err(|problem| Unreadable::Row { line, problem })
    }

    fn is_empty(&self) -> bool {
        self.records.oversize().is_none() && self.is_empty_from(0)
    }

    /// Returns true if no field from this index on has a value.
    fn is_empty_from(&self, first: usize) -> bool {
        (first..self.records.columns()).all(|at| value(&self.records, at).is_ok_and(|value| value.is_empty()))
    }

    /// Returns why the record is not a valid row. Fields at the end may be missing, and empty ones
    /// may follow.
    fn problem(&self) -> Option<String> {
        if let Some(size) = self.records.oversize() {
            return Some(size.problem());
        }
        let (found, expected) = (self.records.columns(), self.columns.count);
        if found > expected && !self.is_empty_from(expected) {
            let cure = "a field that contains the delimiter needs quotes";
            return Some(format!("it has {found} fields, but the header has {expected} ({cure})"));
        }
        let is_cut = found < expected && self.records.field(found - 1).ends_with(b"\\");
        is_cut.then(|| CUT.to_owned())
    }
}

const CUT: &str = "it ends with a backslash, which does not continue a row: a field with line breaks needs quotes";

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &'static str) -> Rows {
        let header = CsvHeader::read(&CsvRowFormat::default(), || Ok(text.as_bytes())).expect("a header");
        open(&header, text.as_bytes()).expect("columns")
    }

    #[track_caller]
    fn check(text: &'static str, expected: &[(u64, Result<&str, &str>)]) {
        let found: Vec<(u64, Result<String, String>)> = rows(text)
            .map(|row| match row {
                Ok(row) => (row.line, Ok(format!("{} {}", row.mail.to[0], Value::Object(row.mail.vars)))),
                Err(Unreadable::Row { line, problem }) => (line, Err(problem)),
                Err(Unreadable::Input(problem)) => panic!("{problem}"),
            })
            .collect();
        let owned = |text: &str| text.to_owned();
        let expected: Vec<_> = expected.iter().map(|(line, row)| (*line, row.map(owned).map_err(owned))).collect();
        assert_eq!(found, expected, "{text:?}");
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
        let text = "email,name\n\na@b,\"two\nlines\"\n\n\nx,y\na@b\na@b,\"q\"\"\n\"\nlast@b,z";
        assert_eq!(lines(text), [(3, true), (7, false), (8, true), (9, true), (11, true)]);
        assert_eq!(lines("email,name\r\n\r\na@b,\"two\r\nlines\"\r\nx,y\r\n"), [(3, true), (5, false)]);
        assert_eq!(lines("email,name\r\ra@b,\"two\rlines\"\rx,y"), [(3, true), (5, false)]);
        assert_eq!(lines("sep=,\n\"email\",\"the\nname\"\na@b,A\nx,y\n"), [(4, true), (5, false)]);
        // A quote inside an unquoted field is an ordinary character.
        assert_eq!(lines("email,name\na@b,5\" pipe\nb@c,B"), [(2, true), (3, true)]);
    }

    #[test]
    fn missing_fields_are_empty_and_extra_empty_ones_are_ignored() {
        check(
            "email,name,city\na@b.c\na@b.c,A\na@b.c,A,C,, \n,,,,,\n \t\n\"\",\\N,\na@b.c,A,C,,x\na@b.c,A,C,D\n",
            &[
                (2, Ok("a@b.c {\"city\":\"\",\"name\":\"\"}")),
                (3, Ok("a@b.c {\"city\":\"\",\"name\":\"A\"}")),
                (4, Ok("a@b.c {\"city\":\"C\",\"name\":\"A\"}")),
                (8, Err("it has 5 fields, but the header has 3 (a field that contains the delimiter needs quotes)")),
                (9, Err("it has 4 fields, but the header has 3 (a field that contains the delimiter needs quotes)")),
            ],
        );
    }

    #[test]
    fn values_are_trimmed_and_unwrapped() {
        check(
            "email;name;\n  a@b.c  ; \"A; B\" ;1\n=\"b@b.c\";=\"007\";\nc@b.c;\\N;x\n",
            &[
                (2, Ok("a@b.c {\"name\":\"A; B\"}")),
                (3, Ok("b@b.c {\"name\":\"007\"}")),
                (4, Ok("c@b.c {\"name\":\"\"}")),
            ],
        );
    }

    #[test]
    fn a_row_continued_with_a_backslash_is_reported() {
        check(
            "email\tname\tcity\na@b.c\ttwo\\\nlines\tX\na@b.c\tA\tC\\\n",
            &[
                (2, Err(CUT)),
                (3, Err("address: \"lines\" is not an e-mail address: it has no @")),
                (4, Ok("a@b.c {\"city\":\"C\\\\\",\"name\":\"A\"}")),
            ],
        );
    }

    #[test]
    fn two_columns_of_one_name_are_refused() {
        let text = "email,name,name\n";
        let header = CsvHeader::read(&CsvRowFormat::default(), || Ok(text.as_bytes())).expect("a header");
        let problem = open(&header, text.as_bytes()).err().expect("a problem");
        assert_eq!(problem.to_string(), "--csv: the header has two columns named name; rename one");
    }
}

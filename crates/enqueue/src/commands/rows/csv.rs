//! Rows of a CSV with a header: the address column, and a variable for each other one.

use std::io::Read;

use ::csv::{ByteRecord, Error, ErrorKind, Reader, ReaderBuilder};
use postroom_core::{InvalidInput, Mail, Mailbox};
use serde_json::{Map, Value};

use super::{Row, Rows, Unreadable, is_address, lines::UnixLines};

/// What the header says.
struct Columns {
    address: usize,
    variables: Vec<(usize, String)>,
}

struct CsvRows<R> {
    reader: Reader<UnixLines<R>>,
    columns: Columns,
    record: ByteRecord,
}

/// Reads the header; then the rows can be had one by one.
pub(super) fn open(name: &str, input: impl Read + 'static) -> Result<Rows, InvalidInput> {
    let refuse = |problem: String| InvalidInput::new("--csv", format!("{name} {problem}"));
    let mut reader = ReaderBuilder::new().from_reader(UnixLines::of(input));
    let header = reader.byte_headers().map_err(|error| refuse(format!("can't be read: {error}")))?;
    if header.is_empty() {
        return Err(refuse("is empty: it needs a header and rows".to_owned()));
    }
    let columns = Columns::of(header).map_err(refuse)?;
    Ok(Box::new(CsvRows { reader, columns, record: ByteRecord::new() }))
}

impl Columns {
    fn of(header: &ByteRecord) -> Result<Self, String> {
        let names: Vec<&str> = header
            .iter()
            .map(|name| std::str::from_utf8(name).map(str::trim))
            .collect::<Result<_, _>>()
            .map_err(|_| "is not UTF-8, line 1".to_owned())?;
        let mut addresses = names.iter().enumerate().filter(|(_, name)| is_address(name)).map(|(at, _)| at);
        let address = match (addresses.next(), addresses.next()) {
            (Some(address), None) => address,
            (Some(_), Some(_)) => {
                return Err("has more than one address column; it may have one: to or email".to_owned());
            }
            (None, _) => {
                let found = names.join(", ");
                return Err(format!("has no address column: its header may name one to or email (found: {found})"));
            }
        };
        let variables = variables(&names, address)?;
        Ok(Self { address, variables })
    }

    fn mail(&self, fields: &ByteRecord) -> Result<Mail, String> {
        let text = |at: usize| {
            std::str::from_utf8(fields.get(at).unwrap_or_default()).map_err(|_| "it is not UTF-8".to_owned())
        };
        let to: Mailbox = text(self.address)?.parse().map_err(|error: InvalidInput| error.to_string())?;
        let vars = self.variables.iter().map(|(at, name)| Ok((name.clone(), Value::String(text(*at)?.to_owned()))));
        Ok(Mail { to: vec![to], vars: vars.collect::<Result<Map<_, _>, String>>()?, ..Mail::default() })
    }
}

/// Spreadsheets leave empty columns at the end: those without a name are nobody's.
fn variables(names: &[&str], address: usize) -> Result<Vec<(usize, String)>, String> {
    let mut all: Vec<(usize, String)> = Vec::new();
    for (at, name) in names.iter().enumerate().filter(|(at, name)| *at != address && !name.is_empty()) {
        if all.iter().any(|(_, other)| other == name) {
            return Err(format!("has two columns named {name}"));
        }
        all.push((at, (*name).to_owned()));
    }
    Ok(all)
}

impl<R: Read> Iterator for CsvRows<R> {
    type Item = Result<Row, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => None,
            Ok(true) => {
                let line = self.line();
                if self.ends_in_quotes() {
                    return Some(Err(self.unclosed()));
                }
                let mail = self.columns.mail(&self.record);
                Some(mail.map(|mail| Row { line, mail }).map_err(|problem| Unreadable::Row { line, problem }))
            }
            Err(error) => Some(Err(self.unreadable(&error))),
        }
    }
}

impl<R: Read> CsvRows<R> {
    /// Where the record begins. The reader's own word for it is where the one before ended, be it empty lines above.
    fn line(&self) -> u64 {
        let breaks = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
        self.reader.position().line().saturating_sub(1 + breaks)
    }

    /// The last record goes on over line ends to the end of the input, and the quotes do not add up.
    fn ends_in_quotes(&self) -> bool {
        self.reader.get_ref().whole() == Some(self.reader.position().byte())
            && self.reader.get_ref().quotes() % 2 == 1
            && self.record.as_slice().contains(&b'\n')
    }

    /// Its last line end is part of it, so it begins one line later than it seems.
    fn unclosed(&self) -> Unreadable {
        let lines = self.record.as_slice().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        let problem =
            format!("a quote that is opened here is never closed: the {lines} lines from here on can't be told apart");
        Unreadable::Row { line: self.line() + 1, problem }
    }

    fn unreadable(&self, error: &Error) -> Unreadable {
        match error.kind() {
            ErrorKind::UnequalLengths { .. } if self.ends_in_quotes() => self.unclosed(),
            ErrorKind::UnequalLengths { expected_len, len, .. } => {
                let problem = format!("it has {len} fields, the header has {expected_len}");
                Unreadable::Row { line: self.line(), problem }
            }
            _ => Unreadable::Input(InvalidInput::new("--csv", format!("it can't be read any further: {error}"))),
        }
    }
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
    fn a_row_is_told_by_the_line_it_begins_on() {
        let text = "\u{feff}email,name\n\na@b,\"two\nlines\"\n\n\nx,y\na@b\na@b,\"q\"\"\n\"\nlast@b,z";
        let expected = [(3, true), (7, false), (8, false), (9, true), (11, true)];
        assert_eq!(lines(text), expected);
        assert_eq!(lines("email,name\r\n\r\na@b,\"two\r\nlines\"\r\nx,y\r\n"), [(3, true), (5, false)]);
    }

    #[test]
    fn a_quote_that_is_never_closed_is_told() {
        for text in [
            "email,name\nx@y,ok\na@b,\"A\nb@c,B\n",
            "email,name\nx@y,ok\n\"a@b,A\nb@c,B\nc@d,C",
            "email,name\nx@y,5\"\na@b,\"A\nb@c,B\n",
        ] {
            assert_eq!(lines(text), [(2, true), (3, false)], "{text}");
            let Some(Err(Unreadable::Row { problem, .. })) = rows(text).last() else { panic!("it is told") };
            assert!(problem.contains(&format!("the {} lines from here on", text.lines().count() - 2)), "{problem}");
        }
        // A quote inside a field that is not quoted is a letter like any other.
        assert_eq!(lines("email,name\na@b,5\" pipe\nb@c,B"), [(2, true), (3, true)]);
    }
}

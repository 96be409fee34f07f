//! Rows of a JSON lines file. With a template a row is an address, fields of the mail and
//! variables; without one it is a complete mail.

use std::io::{self, BufRead, BufReader, Read};

use postroom_core::{InvalidInput, Mail};
use serde_json::{Map, Value};

use super::{
    records::MAX_RECORD,
    row::{BulkRow, Rows, Unreadable, is_address, take_mail_fields},
};

struct JsonRows<R> {
    input: BufReader<R>,
    line: u64,
    format: JsonRowFormat,
}

/// Format and maximum size of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JsonRowFormat {
    /// Whether a row is an address with variables for a template, not a complete mail.
    pub(crate) with_template: bool,
    /// Maximum number of bytes of a row, so that a file without line breaks does not fill the
    /// memory.
    pub(crate) max_bytes: usize,
}

impl JsonRowFormat {
    /// Limits a row of variables to the size of a CSV record, and a complete mail to twice the
    /// maximum message size.
    pub(crate) fn new(with_template: bool, max_message_size: u64) -> Self {
        let whole = usize::try_from(max_message_size.saturating_mul(2)).unwrap_or(usize::MAX);
        let max_bytes = if with_template { MAX_RECORD } else { whole.max(MAX_RECORD) };
        Self { with_template, max_bytes }
    }
}

/// Returns an iterator over the rows.
pub(super) fn open(input: impl Read + 'static, format: JsonRowFormat) -> Rows {
    Box::new(JsonRows { input: BufReader::with_capacity(1 << 16, input), line: 0, format })
}

impl<R: Read> Iterator for JsonRows<R> {
    type Item = Result<BulkRow, Unreadable>;

    /// Returns the next row; empty lines are skipped.
    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match self.read_line(&mut bytes) {
                Ok(0) => return None,
                Ok(length) if length > self.format.max_bytes as u64 => return Some(Err(self.too_long(length))),
                Ok(_) => {}
                Err(error) => return Some(Err(unreadable(&error))),
            }
            let text = bytes.strip_prefix(b"\xef\xbb\xbf").filter(|_| self.line == 1).unwrap_or(&bytes);
            if !text.trim_ascii().is_empty() {
                return Some(self.row(text));
            }
        }
    }
}

impl<R: Read> JsonRows<R> {
    /// Reads a line and returns its length in bytes. Of a line that is too long, only the beginning
    /// is kept in `bytes`.
    fn read_line(&mut self, bytes: &mut Vec<u8>) -> io::Result<u64> {
        let most = self.format.max_bytes as u64 + 1;
        let mut length = self.input.by_ref().take(most).read_until(b'\n', bytes)? as u64;
        self.line += u64::from(length > 0);
        if length == most && bytes.last() != Some(&b'\n') {
            length += skip_line(&mut self.input)?;
        }
        Ok(length)
    }

    fn too_long(&self, length: u64) -> Unreadable {
        let problem = format!("it has {length} bytes; a row may have {}", self.format.max_bytes);
        Unreadable::Row { line: self.line, problem }
    }

    fn row(&self, text: &[u8]) -> Result<BulkRow, Unreadable> {
        let line = self.line;
        let mail = if self.format.with_template {
            mail_of_vars(text)
        } else {
            serde_json::from_slice(text).map_err(|error| describe(&error))
        };
        mail.map(|mail| BulkRow { line, mail }).map_err(|problem| Unreadable::Row { line, problem })
    }
}

/// Parses `{"to": …, "name": …}`. Every key except the address and the fields of the mail is a
/// variable, and so is every key of an object `vars`.
fn mail_of_vars(text: &[u8]) -> Result<Mail, String> {
    let mut keys: Map<String, Value> = serde_json::from_slice(text).map_err(|error| describe(&error))?;
    let names: Vec<String> = keys.keys().filter(|name| is_address(name)).cloned().collect();
    let [name] = &names[..] else {
        let problem = if names.is_empty() { "it has no address" } else { "it has more than one address" };
        return Err(format!("{problem}; it must have one key to or email"));
    };
    let address = keys.remove(name).unwrap_or_default();
    let mut fields = take_mail_fields(&mut keys);
    fields.insert("to".to_owned(), address);
    let mut mail: Mail = serde_json::from_value(Value::Object(fields)).map_err(|error| describe(&error))?;
    if let Some(Value::Object(more)) = keys.get("vars").cloned() {
        keys.remove("vars");
        keys.extend(more);
    }
    mail.vars = keys;
    Ok(mail)
}

/// Formats an error with the column only: serde counts lines within the row, so its line is always
/// 1.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, _)) => format!("{what}, character {}", error.column()),
        None => text,
    }
}

/// Skips the rest of the line and returns the number of skipped bytes.
fn skip_line(input: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let block = input.fill_buf()?;
        let end = memchr::memchr(b'\n', block).map(|at| at + 1);
        let read = end.unwrap_or(block.len());
        input.consume(read);
        skipped += read as u64;
        if end.is_some() || read == 0 {
            return Ok(skipped);
        }
    }
}

fn unreadable(error: &io::Error) -> Unreadable {
    Unreadable::Input(InvalidInput::new("--jsonl", format!("reading failed: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_one_bad_row() {
        let text = b"{\"to\": \"a@example.org\", \"x\": \"123456789\"}\n{\"to\": \"b@example.org\"}\n";
        for (max_bytes, valid) in [(43, 2), (42, 2), (41, 1), (30, 1), (24, 1), (23, 0)] {
            let rows: Vec<_> = open(&text[..], JsonRowFormat { with_template: true, max_bytes }).collect();
            let lines: Vec<u64> = rows.iter().filter_map(|row| row.as_ref().ok()).map(|row| row.line).collect();
            assert_eq!((rows.len(), lines.len()), (2, valid), "{max_bytes}");
            for row in rows.into_iter().filter_map(Result::err) {
                let Unreadable::Row { line, problem } = row else { panic!("{row:?}") };
                assert!(
                    (1..=2).contains(&line) && problem.contains(&format!("a row may have {max_bytes}")),
                    "{problem}"
                );
            }
        }
    }
}

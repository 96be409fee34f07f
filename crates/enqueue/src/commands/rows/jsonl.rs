//! Rows of a JSON lines file: variables and an address where there is a template, else whole mails.

use std::io::{self, BufRead, BufReader, Read};

use postroom_core::{InvalidInput, Mail};
use serde_json::{Map, Value};

use super::{Row, Rows, Unreadable, is_address, records::MAX_RECORD};

struct JsonRows<R> {
    input: BufReader<R>,
    line: u64,
    kind: Kind,
}

/// What a row is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// Whether a template makes the mails, so that a row is an address with variables.
    pub(crate) with_template: bool,
    /// Bytes of a row: a file without line ends must not fill the memory.
    pub(crate) longest: usize,
}

impl Kind {
    /// Variables have room in as much as a row of a CSV has; a whole mail needs as much as its message, and its JSON is no more than
    /// twice that.
    pub(crate) fn of(with_template: bool, max_message_size: u64) -> Self {
        let whole = usize::try_from(max_message_size.saturating_mul(2)).unwrap_or(usize::MAX);
        let longest = if with_template { MAX_RECORD } else { whole.max(MAX_RECORD) };
        Self { with_template, longest }
    }
}

/// The rows of this input.
pub(super) fn open(input: impl Read + 'static, kind: Kind) -> Rows {
    Box::new(JsonRows { input: BufReader::with_capacity(1 << 16, input), line: 0, kind })
}

impl<R: Read> Iterator for JsonRows<R> {
    type Item = Result<Row, Unreadable>;

    /// Empty lines are no rows.
    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match self.read_line(&mut bytes) {
                Ok(0) => return None,
                Ok(length) if length > self.kind.longest as u64 => return Some(Err(self.too_long(length))),
                Ok(_) => {}
                Err(error) => return Some(Err(broken(&error))),
            }
            let text = bytes.strip_prefix(b"\xef\xbb\xbf").filter(|_| self.line == 1).unwrap_or(&bytes);
            if !text.trim_ascii().is_empty() {
                return Some(self.row(text));
            }
        }
    }
}

impl<R: Read> JsonRows<R> {
    /// Reads a line to its end, and says how long it is; of one that is too long, no more than fits is kept.
    fn read_line(&mut self, bytes: &mut Vec<u8>) -> io::Result<u64> {
        let most = self.kind.longest as u64 + 1;
        let mut length = self.input.by_ref().take(most).read_until(b'\n', bytes)? as u64;
        self.line += u64::from(length > 0);
        if length == most && bytes.last() != Some(&b'\n') {
            length += skip_line(&mut self.input)?;
        }
        Ok(length)
    }

    fn too_long(&self, length: u64) -> Unreadable {
        let problem = format!("it has {length} bytes; a row may have {}", self.kind.longest);
        Unreadable::Row { line: self.line, problem }
    }

    fn row(&self, text: &[u8]) -> Result<Row, Unreadable> {
        let line = self.line;
        let mail = if self.kind.with_template {
            mail_of_vars(text)
        } else {
            serde_json::from_slice(text).map_err(|error| plain(&error))
        };
        mail.map(|mail| Row { line, mail }).map_err(|problem| Unreadable::Row { line, problem })
    }
}

/// `{"to": …, "name": …}`: every key but the address is a variable. Those in an object `vars` are too, as in a whole mail.
fn mail_of_vars(text: &[u8]) -> Result<Mail, String> {
    let mut keys: Map<String, Value> = serde_json::from_slice(text).map_err(|error| plain(&error))?;
    let names: Vec<String> = keys.keys().filter(|name| is_address(name)).cloned().collect();
    let [name] = &names[..] else {
        let problem = if names.is_empty() { "it has no address" } else { "it has more than one address" };
        return Err(format!("{problem}; it may have one key to or email"));
    };
    let address = keys.remove(name).unwrap_or_default();
    let mut mail: Mail = serde_json::from_value(serde_json::json!({ "to": address })).map_err(|error| plain(&error))?;
    if let Some(Value::Object(more)) = keys.get("vars").cloned() {
        keys.remove("vars");
        keys.extend(more);
    }
    mail.vars = keys;
    Ok(mail)
}

/// The place in the line is told, but not its number, which would be 1.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, _)) => format!("{what}, character {}", error.column()),
        None => text,
    }
}

/// Reads on behind the next line end, and says how many bytes that were.
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

fn broken(error: &io::Error) -> Unreadable {
    Unreadable::Input(InvalidInput::new("--jsonl", format!("it can't be read any further: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_one_bad_row() {
        let text = b"{\"to\": \"a@example.org\", \"x\": \"123456789\"}\n{\"to\": \"b@example.org\"}\n";
        for (longest, sound) in [(43, 2), (42, 2), (41, 1), (30, 1), (24, 1), (23, 0)] {
            let rows: Vec<_> = open(&text[..], Kind { with_template: true, longest }).collect();
            let told: Vec<u64> = rows.iter().filter_map(|row| row.as_ref().ok()).map(|row| row.line).collect();
            assert_eq!((rows.len(), told.len()), (2, sound), "{longest}");
            for row in rows.into_iter().filter_map(Result::err) {
                let Unreadable::Row { line, problem } = row else { panic!("{row:?}") };
                assert!((1..=2).contains(&line) && problem.contains(&format!("a row may have {longest}")), "{problem}");
            }
        }
    }
}

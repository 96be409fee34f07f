//! Rows of a JSON lines file: variables and an address where there is a template, else whole mails.

use std::io::{BufRead, BufReader, Read};

use postroom_core::{InvalidInput, Mail};
use serde_json::{Map, Value};

use super::{Row, Rows, Unreadable, is_address};

/// No mail is that long; a file without line ends must not fill the memory.
const MAX_LINE: usize = 256 << 20;

struct JsonRows<R> {
    input: BufReader<R>,
    line: u64,
    with_template: bool,
}

/// The rows of this input.
pub(super) fn open(input: impl Read + 'static, with_template: bool) -> Rows {
    Box::new(JsonRows { input: BufReader::new(input), line: 0, with_template })
}

impl<R: Read> Iterator for JsonRows<R> {
    type Item = Result<Row, Unreadable>;

    /// Empty lines are no rows.
    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match self.input.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut bytes) {
                Ok(0) => return None,
                Ok(MAX_LINE) => return Some(Err(too_long(self.line + 1))),
                Ok(_) => self.line += 1,
                Err(error) => return Some(Err(broken(&error))),
            }
            let text = bytes.strip_prefix(b"\xef\xbb\xbf").filter(|_| self.line == 1).unwrap_or(&bytes);
            if !text.trim_ascii().is_empty() {
                return Some(self.row(text));
            }
        }
    }
}

impl<R> JsonRows<R> {
    fn row(&self, text: &[u8]) -> Result<Row, Unreadable> {
        let line = self.line;
        let mail = if self.with_template {
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

fn too_long(line: u64) -> Unreadable {
    Unreadable::Input(InvalidInput::new("--jsonl", format!("line {line} is longer than {} MiB", MAX_LINE >> 20)))
}

fn broken(error: &std::io::Error) -> Unreadable {
    Unreadable::Input(InvalidInput::new("--jsonl", format!("it can't be read any further: {error}")))
}

//! Output of a command: results on standard output, everything else on standard error. A closed
//! pipe is not an error.
//!
//! Control characters are escaped here, in JSON too, so that text from outside can't control the
//! terminal.

use std::io::{self, IsTerminal, Write};

use postroom_core::{Escaped, EscapedLines, needs_escape};
use serde::Serialize;

use crate::exit::CommandError;

/// Standard output and standard error, in the requested format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    /// Whether to print JSON, one object a line, instead of text.
    pub(crate) json: bool,
}

impl Console {
    /// Prints one or more lines of the result.
    pub(crate) fn line(self, text: impl std::fmt::Display) {
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{}", EscapedLines(text)).and_then(|()| out.flush());
    }

    /// Prints content for a file or another program unchanged; on a terminal it is escaped.
    pub(crate) fn content(self, text: &str) {
        if io::stdout().is_terminal() {
            return self.line(text);
        }
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// Prints a result as a line of JSON or as text.
    pub(crate) fn result(self, value: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json {
            self.line(json(value));
        } else {
            self.line(text());
        }
    }

    /// Prints a list as one JSON object a line or as a table.
    pub(crate) fn list<T: Serialize>(self, items: &[T], table: impl FnOnce() -> String) {
        if self.json {
            items.iter().for_each(|item| self.line(json(item)));
        } else {
            self.line(table());
        }
    }

    /// Prints a note to standard error, in one line.
    pub(crate) fn note(self, text: impl std::fmt::Display) {
        let text = text.to_string();
        self.result_note(&serde_json::json!({ "note": &text }), || text.clone());
    }

    /// Prints a warning to standard error.
    pub(crate) fn warn(self, text: impl std::fmt::Display) {
        let text = text.to_string();
        self.result_note(&serde_json::json!({ "warning": &text }), || format!("warning: {text}"));
    }

    /// Prints more about a result to standard error, as a line of JSON or as text in one line.
    pub(crate) fn result_note(self, value: &impl Serialize, text: impl FnOnce() -> String) {
        let line = if self.json { json(value) } else { Escaped(text()).to_string() };
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Prints why the command failed.
    pub(crate) fn fail(self, error: &CommandError) {
        if self.json {
            self.result_note(&serde_json::json!({ "error": error }), String::new);
        } else {
            self.error(format_args!("error: {}", error.message));
        }
    }

    /// Prints an error, which may have several lines.
    pub(crate) fn error(self, text: impl std::fmt::Display) {
        let _ = writeln!(io::stderr().lock(), "{}", EscapedLines(text));
    }
}

/// Returns the value as JSON with escaped control characters. A value that can't be serialised
/// becomes null.
fn json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    if !json.chars().any(needs_escape) {
        return json;
    }
    // JSON has control characters only within strings, where an escape is equivalent.
    let mut text = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if needs_escape(c) { text.push_str(&format!("\\u{:04x}", u32::from(c))) } else { text.push(c) }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_json_has_the_same_content() {
        let value = serde_json::json!({ "reply": "a\u{1b}[2J\u{9b}1m\u{7f}\u{202e}\u{2028}\n\"Żółć\"" });
        let text = json(&value);
        assert!(!text.chars().any(needs_escape), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
    }
}

//! What a command prints: results on standard output, all else on standard error. A closed pipe is no reason to panic.
//!
//! Nothing that came from outside acts on the terminal: control characters are escaped here, in JSON too.

use std::io::{self, IsTerminal, Write};

use postroom_core::{Escaped, EscapedLines, needs_escape};
use serde::Serialize;

use super::exit::Failure;

/// The two outputs, in the form that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    /// One JSON object a line instead of words.
    pub(crate) json: bool,
}

impl Console {
    /// A part of the result: a line, or several. Whoever closed the pipe does not want it.
    pub(crate) fn line(self, text: impl std::fmt::Display) {
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{}", EscapedLines(text)).and_then(|()| out.flush());
    }

    /// Content for a file or another program, as it is; on a terminal like any other.
    pub(crate) fn content(self, text: &str) {
        if io::stdout().is_terminal() {
            return self.line(text);
        }
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// A result, as a line of JSON or in words.
    pub(crate) fn tell(self, value: &impl Serialize, words: impl FnOnce() -> String) {
        if self.json {
            self.line(json(value));
        } else {
            self.line(words());
        }
    }

    /// A list: a JSON object a line, or a table.
    pub(crate) fn list<T: Serialize>(self, items: &[T], table: impl FnOnce() -> String) {
        if self.json {
            items.iter().for_each(|item| self.line(json(item)));
        } else {
            self.line(table());
        }
    }

    /// Something worth knowing beside the result, in one line.
    pub(crate) fn note(self, text: impl std::fmt::Display) {
        let _ = writeln!(io::stderr().lock(), "{}", Escaped(text));
    }

    /// Something that may be wrong.
    pub(crate) fn warn(self, text: impl std::fmt::Display) {
        self.note(format_args!("warning: {text}"));
    }

    /// Why it failed.
    pub(crate) fn fail(self, failure: &Failure) {
        if self.json {
            self.note(json(&serde_json::json!({ "error": failure })));
        } else {
            self.error(format_args!("error: {}", failure.message));
        }
    }

    /// An error, in several lines where it shows a part of a file.
    pub(crate) fn error(self, text: impl std::fmt::Display) {
        let _ = writeln!(io::stderr().lock(), "{}", EscapedLines(text));
    }
}

/// Our own types always serialise; what could not would be shown as null.
fn json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    if !json.chars().any(needs_escape) {
        return json;
    }
    // They are within strings, where an escape means the same.
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
    fn json_has_the_same_content_and_acts_on_no_terminal() {
        let value = serde_json::json!({ "reply": "a\u{1b}[2J\u{9b}1m\u{7f}\u{202e}\u{2028}\n\"Żółć\"" });
        let text = json(&value);
        assert!(!text.chars().any(needs_escape), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
    }
}

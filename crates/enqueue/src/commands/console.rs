//! What a command says: results on standard output, all else on standard error. A closed pipe is no reason to panic.

use std::io::{self, Write};

use serde::Serialize;

use super::exit::Failure;

/// The two outputs, in the form that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    /// One JSON object a line instead of words.
    pub(crate) json: bool,
}

impl Console {
    /// A line of the result. Whoever closed the pipe does not want it.
    pub(crate) fn line(self, text: impl std::fmt::Display) {
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

    /// Something worth knowing beside the result.
    pub(crate) fn note(self, text: impl std::fmt::Display) {
        let _ = writeln!(io::stderr().lock(), "{text}");
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
            self.note(format_args!("error: {}", failure.message));
        }
    }
}

/// Our own types always serialise; what could not would be shown as null.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

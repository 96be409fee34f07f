//! What goes wrong on purpose.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What becomes of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is answered by this error and nothing is sent.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The error's name.
        name: String,
        /// What it says to people.
        message: String,
        /// Further headers.
        headers: Vec<(String, String)>,
    },
    /// It is answered by this status and a page that is no JSON, as a gateway does, and nothing is sent.
    Page(u16),
    /// The mail is sent, but what is answered is this status and a page.
    KeepThenPage(u16),
    /// The connection is closed unanswered, and nothing is sent.
    Cut,
    /// The mail is sent, and the connection is closed unanswered.
    KeepThenCut,
    /// The answer comes only after that long; the mail is sent, and its key is in use meanwhile.
    Slow(Duration),
    /// Nothing special.
    None,
}

impl Trouble {
    /// An error answer.
    pub fn answer(status: u16, name: &str) -> Self {
        Self::saying(status, name, "something is wrong")
    }

    /// An error answer that says something.
    pub fn saying(status: u16, name: &str, message: &str) -> Self {
        Self::Answer { status, name: name.to_owned(), message: message.to_owned(), headers: Vec::new() }
    }

    /// The same answer with this header too.
    pub fn header(self, header: &str, value: &str) -> Self {
        match self {
            Self::Answer { status, name, message, mut headers } => {
                headers.push((header.to_owned(), value.to_owned()));
                Self::Answer { status, name, message, headers }
            }
            other => other,
        }
    }
}

/// What is still to come, one for a request.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<VecDeque<Trouble>>);

impl Troubles {
    pub(super) fn add(&self, trouble: Trouble, times: usize) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(std::iter::repeat_n(trouble, times));
    }

    pub(super) fn next(&self) -> Trouble {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(Trouble::None)
    }
}

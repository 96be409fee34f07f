//! Faults that a test injects into the API.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Handling of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiFault {
    /// The response is this error, and no mail is accepted.
    Error {
        /// HTTP status.
        status: u16,
        /// Name of the error.
        name: String,
        /// Message of the error.
        message: String,
        /// Additional headers.
        headers: Vec<(String, String)>,
    },
    /// The response has this status and an HTML page, as from a gateway. No mail is accepted.
    Page(u16),
    /// The mail is accepted, and the response has this status and an HTML page.
    AcceptThenPage(u16),
    /// The connection is closed without a response, and no mail is accepted.
    Close,
    /// The mail is accepted, and the connection is closed without a response.
    AcceptThenClose,
    /// The mail is accepted after this delay. Its idempotency key is in use meanwhile.
    Slow(Duration),
    /// The request is handled normally.
    None,
}

impl ApiFault {
    /// Returns an error response with a generic message.
    pub fn error(status: u16, name: &str) -> Self {
        Self::with_message(status, name, "something is wrong")
    }

    /// Returns an error response with this message.
    pub fn with_message(status: u16, name: &str, message: &str) -> Self {
        Self::Error { status, name: name.to_owned(), message: message.to_owned(), headers: Vec::new() }
    }

    /// Adds a header to an error response.
    pub fn header(self, header: &str, value: &str) -> Self {
        match self {
            Self::Error { status, name, message, mut headers } => {
                headers.push((header.to_owned(), value.to_owned()));
                Self::Error { status, name, message, headers }
            }
            other => other,
        }
    }
}

/// Queue of faults, one per request.
#[derive(Debug, Default)]
pub(super) struct ApiFaults(Mutex<VecDeque<ApiFault>>);

impl ApiFaults {
    pub(super) fn add(&self, fault: ApiFault, times: usize) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(std::iter::repeat_n(fault, times));
    }

    pub(super) fn next(&self) -> ApiFault {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(ApiFault::None)
    }
}

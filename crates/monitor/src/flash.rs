//! One-time messages about the result of a person's action, shown on the next page.

use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::cookie;

const NAME: &str = "postroom_flash";

/// Result of a person's action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flash {
    /// Whether the action succeeded.
    pub(crate) good: bool,
    pub(crate) text: String,
}

impl Flash {
    pub(crate) fn done(text: impl Into<String>) -> Self {
        Self { good: true, text: text.into() }
    }

    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self { good: false, text: text.into() }
    }

    /// Reads the message of the last action from its cookie.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cookie::read(headers, NAME)?).ok()?;
        let (mark, text) = bytes.split_first()?;
        Some(Self { good: *mark == b'+', text: String::from_utf8(text.to_vec()).ok()? })
    }

    /// Returns the header that stores the message in a cookie for the next page.
    pub(crate) fn header(&self) -> HeaderValue {
        let mark = if self.good { '+' } else { '-' };
        cookie::set(NAME, &URL_SAFE_NO_PAD.encode(format!("{mark}{}", self.text)), 60, false)
    }

    /// Deletes the cookie.
    pub(crate) fn forget(headers: &mut HeaderMap) {
        headers.append(header::SET_COOKIE, cookie::set(NAME, "", 0, false));
    }
}

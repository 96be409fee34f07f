//! One sentence on what became of a person's act, shown on the next page and gone.

use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::guard::cookie;

const NAME: &str = "postroom_flash";

/// What became of a person's act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flash {
    /// Whether it was done.
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

    /// What the last act left in the browser.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cookie::read(headers, NAME)?).ok()?;
        let (mark, text) = bytes.split_first()?;
        Some(Self { good: *mark == b'+', text: String::from_utf8(text.to_vec()).ok()? })
    }

    /// The header that leaves it in the browser, for the page that comes next.
    pub(crate) fn header(&self) -> HeaderValue {
        let mark = if self.good { '+' } else { '-' };
        cookie::set(NAME, &URL_SAFE_NO_PAD.encode(format!("{mark}{}", self.text)), 60, false)
    }

    /// Takes it out of the browser.
    pub(crate) fn forget(headers: &mut HeaderMap) {
        headers.append(header::SET_COOKIE, cookie::set(NAME, "", 0, false));
    }
}

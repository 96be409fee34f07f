//! Recipients of a batch's completion notice.

use std::{fmt, str::FromStr};

use crate::{HttpUrl, InvalidInput, Mailbox};

/// Recipient of the notice that a batch is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressee {
    /// Notified by a mail.
    Mail(Mailbox),
    /// Notified by a POST request.
    Url(HttpUrl),
}

impl From<Mailbox> for Addressee {
    fn from(mailbox: Mailbox) -> Self {
        Self::Mail(mailbox)
    }
}

impl From<HttpUrl> for Addressee {
    fn from(url: HttpUrl) -> Self {
        Self::Url(url)
    }
}

impl FromStr for Addressee {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        if text.contains("://") {
            return text.parse().map(Self::Url).map_err(|error: InvalidInput| error.at("notify"));
        }
        let or_a_url = |error: InvalidInput| {
            InvalidInput::new("notify", format!("{}, or a URL such as https://app.example.org/path", error.problem))
        };
        text.parse().map(Self::Mail).map_err(or_a_url)
    }
}

impl fmt::Display for Addressee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mail(mailbox) => mailbox.fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_addressee_is_an_address_or_a_url() {
        for text in ["Boss <boss@example.org>", "https://app.example.org/hook?a=b", "http://app:3000"] {
            let addressee: Addressee = text.parse().expect(text);
            assert_eq!(matches!(addressee, Addressee::Url(_)), text.starts_with("http"));
            assert_eq!(addressee.to_string(), text);
        }
        for (bad, words) in [("app.example.org", "or a URL"), ("ftp://app.example.org", "\"ftp\"")] {
            let error = bad.parse::<Addressee>().expect_err(bad).to_string();
            assert!(error.starts_with("notify: ") && error.contains(words), "{error}");
        }
    }
}

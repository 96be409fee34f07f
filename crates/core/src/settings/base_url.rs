//! Base URLs of HTTP APIs.

use crate::{HttpUrl, InvalidInput};

/// Parses the base URL of an HTTP API, to which request paths are appended. Plain HTTP is allowed
/// only to this machine, because every request carries an API key.
pub(super) fn base_url(text: &str) -> Result<HttpUrl, InvalidInput> {
    let mut url: HttpUrl = text.parse()?;
    url.path.truncate(url.path.trim_end_matches('/').len());
    if url.path.contains('?') {
        return Err(unfit(
            "it has a query (?), but request paths are appended to it; it may be https://api.example.org",
        ));
    }
    if url.secure || url.is_on_this_machine() {
        return Ok(url);
    }
    Err(unfit("without TLS anyone on the network can read the API key; http:// is allowed only for this machine"))
}

fn unfit(problem: &str) -> InvalidInput {
    InvalidInput::new("url", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_urls_are_parsed() {
        for (text, shown, port) in [
            ("https://api.resend.com", "https://api.resend.com", 443),
            ("https://proxy.example.org:8443/mail/", "https://proxy.example.org:8443/mail", 8443),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080", 8080),
            ("http://localhost/", "http://localhost", 80),
            ("http://[::1]:81/a/b", "http://[::1]:81/a/b", 81),
        ] {
            let url = base_url(text).expect(text);
            assert_eq!((url.to_string().as_str(), url.port), (shown, port));
        }
    }

    #[test]
    fn invalid_urls_are_refused() {
        for (text, words) in [
            ("api.resend.com", "https://"),
            ("https://host/?a=b", "a query"),
            ("http://api.resend.com", "without TLS"),
            ("http://127.0.0.1.example.org", "without TLS"),
        ] {
            let error = base_url(text).expect_err(text);
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
    }
}

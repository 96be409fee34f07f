//! Where an HTTP API is.

use crate::{HttpUrl, InvalidInput};

/// The address of an HTTP API, to which the paths of its requests are added. Without TLS only on this machine: a key travels
/// with every request.
pub(super) fn base_url(text: &str) -> Result<HttpUrl, InvalidInput> {
    let mut url: HttpUrl = text.parse()?;
    url.path.truncate(url.path.trim_end_matches('/').len());
    if url.path.contains('?') {
        return Err(unfit("it has a query (?), but paths are added to it; it may be https://api.example.org"));
    }
    if url.secure || url.is_on_this_machine() {
        return Ok(url);
    }
    Err(unfit("without TLS the API key could be read by anyone on the way; http:// may only name this machine"))
}

fn unfit(problem: &str) -> InvalidInput {
    InvalidInput::new("url", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones_are_read_and_shown() {
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
    fn bad_ones_are_refused() {
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

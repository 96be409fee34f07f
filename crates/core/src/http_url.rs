//! URLs of HTTP services.

use std::{fmt, str::FromStr};

use crate::{
    InvalidInput,
    host::{self, is_on_this_machine},
};

/// An `http://` or `https://` URL without user or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// Whether the scheme is https.
    pub secure: bool,
    /// Host name or IP address, without brackets.
    pub host: String,
    /// Port; the scheme's default if the URL has none.
    pub port: u16,
    /// Path and query, as in `/mail?to=me`: empty, or with a leading slash.
    pub path: String,
}

impl HttpUrl {
    /// Returns host and port as in a `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == usual_port(self.secure) { host } else { format!("{host}:{}", self.port) }
    }

    /// Returns the URL without path and query, which may contain a secret.
    #[must_use]
    pub fn origin(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    pub(crate) fn is_on_this_machine(&self) -> bool {
        is_on_this_machine(&self.host)
    }
}

fn usual_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

impl FromStr for HttpUrl {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| unfit("this is not a URL"))?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(unfit(&format!("{scheme:?} is neither https nor http"))),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(unfit("it contains a user, which is not supported"));
        }
        let (host, port) = split(authority).ok_or_else(|| unfit("an address in brackets must end with ]"))?;
        let host = host::check(host).map_err(|_| unfit("its host is missing or not valid"))?;
        let port = port.map_or(Ok(usual_port(secure)), host::port).map_err(|_| unfit("its port must be 1 to 65535"))?;
        Ok(Self { secure, host, port, path: checked_path(path)? })
    }
}

fn checked_path(path: &str) -> Result<String, InvalidInput> {
    if path.contains('#') {
        return Err(unfit("it has a fragment (#), which is not supported"));
    }
    if !path.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(unfit("it contains a space or a letter that must be percent-encoded"));
    }
    Ok(if path.starts_with('?') { format!("/{path}") } else { path.to_owned() })
}

/// Builds an error without the URL, which may contain a secret.
fn unfit(problem: &str) -> InvalidInput {
    InvalidInput::new("url", format!("{problem}; it may be a URL such as https://app.example.org/path"))
}

/// Splits host, without brackets, and port.
fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return if after.is_empty() { Some((host, None)) } else { Some((host, Some(after.strip_prefix(':')?))) };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((authority, None)),
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_urls_survive_parsing_and_writing() {
        for (text, shown, port) in [
            ("https://app.example.org", "https://app.example.org", 443),
            ("HTTPS://app.example.org:8443/a/?b=c&d", "https://app.example.org:8443/a/?b=c&d", 8443),
            ("http://app:3000?token=x", "http://app:3000/?token=x", 3000),
            ("http://[::1]:81/a/b", "http://[::1]:81/a/b", 81),
        ] {
            let url: HttpUrl = text.parse().expect(text);
            assert_eq!((url.to_string().as_str(), url.port), (shown, port));
            assert_eq!(url.to_string().parse(), Ok(url));
        }
        let url: HttpUrl = "https://hooks.example.org/secret?token=secret".parse().expect("a URL");
        assert_eq!(url.origin(), "https://hooks.example.org");
    }

    #[test]
    fn invalid_urls_are_refused_and_not_shown() {
        for (text, words) in [
            ("app.example.org/secret", "not a URL"),
            ("ftp://app.example.org/secret", "\"ftp\" is neither https nor http"),
            ("https://", "its host is missing"),
            ("https:///secret", "its host is missing"),
            ("https://ann:secret@host", "a user"),
            ("https://host:0/secret", "1 to 65535"),
            ("https://host:port/secret", "1 to 65535"),
            ("https://host/secret#a", "fragment"),
            ("https://host#secret", "fragment"),
            ("https://host/a secret", "a space"),
            ("https://host/a\r\nsecret", "a space"),
            ("https://hóst/secret", "its host is missing"),
            ("http://[::1/secret", "must end with ]"),
        ] {
            let error = text.parse::<HttpUrl>().expect_err(text).to_string();
            assert!(
                error.contains(words) && error.contains("https://") && !error.contains("secret"),
                "{text}: {error}"
            );
        }
    }
}

//! Where an HTTP API is.

use std::{fmt, net::IpAddr, str::FromStr};

use super::value;
use crate::InvalidInput;

/// The address of an HTTP API, to which the paths of its requests are added. Without TLS only on this machine: a key travels
/// with every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// Whether TLS protects it.
    pub secure: bool,
    /// The host's name or IP address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What comes before the paths of requests, as in `/mail`; empty, or without a slash at its end.
    pub path: String,
}

impl BaseUrl {
    /// Host and port, as a `Host` header names them.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == usual_port(self.secure) { host } else { format!("{host}:{}", self.port) }
    }

    fn is_on_this_machine(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

fn usual_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

impl FromStr for BaseUrl {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let refuse = || unfit("it may be a URL such as https://api.example.org, without user, query or fragment");
        let (scheme, rest) = text.split_once("://").ok_or_else(refuse)?;
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(refuse()),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split(authority).ok_or_else(refuse)?;
        let port = port.map_or(Ok(usual_port(secure)), value::port).map_err(|_| refuse())?;
        let path = path.trim_end_matches('/').to_owned();
        let plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#');
        if !plain || value::host(host).is_err() {
            return Err(refuse());
        }
        let url = Self { secure, host: host.to_owned(), port, path };
        if secure || url.is_on_this_machine() {
            return Ok(url);
        }
        Err(unfit("without TLS the API key could be read by anyone on the way; http:// may only name this machine"))
    }
}

fn unfit(problem: &str) -> InvalidInput {
    InvalidInput::new("url", problem)
}

/// Host, without brackets, and port.
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

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
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
            let url: BaseUrl = text.parse().expect(text);
            assert_eq!((url.to_string().as_str(), url.port), (shown, port));
        }
    }

    #[test]
    fn bad_ones_are_refused() {
        for (text, words) in [
            ("api.resend.com", "https://"),
            ("ftp://api.resend.com", "https://"),
            ("https://", "https://"),
            ("https://user:secret@host", "https://"),
            ("https://host:0", "https://"),
            ("https://host:port", "https://"),
            ("https://host/?a=b", "https://"),
            ("https://host/a b", "https://"),
            ("http://[::1", "https://"),
            ("http://api.resend.com", "without TLS"),
            ("http://127.0.0.1.example.org", "without TLS"),
        ] {
            let error = text.parse::<BaseUrl>().expect_err(text);
            assert!(error.to_string().contains(words) && !error.to_string().contains("secret"), "{text}: {error}");
        }
    }
}

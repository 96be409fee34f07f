//! Check of the `Host` header.

use std::net::IpAddr;

/// Whether a `Host` header names this machine. Otherwise a foreign page whose name resolves to
/// 127.0.0.1 (DNS rebinding) could read a dashboard without a password.
pub(crate) fn is_local(host: &str) -> bool {
    let name = without_port(host);
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // In `[::1]` the last colon does not start a port.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_local() {
        for good in ["localhost", "LOCALHOST:5555", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:5555", "127.0.0.2:1"] {
            assert!(is_local(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "evil.example:5555",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            ":80",
        ] {
            assert!(!is_local(bad), "{bad}");
        }
    }
}

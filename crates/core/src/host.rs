//! Host names and ports of other machines.

use std::net::IpAddr;

use crate::InvalidInput;

/// Checks a host name or IP address without port or scheme.
pub(crate) fn check(text: &str) -> Result<String, InvalidInput> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    let is_host = (1..=255).contains(&text.len()) && text.bytes().all(fits);
    if is_host && (text.parse::<IpAddr>().is_ok() || !text.contains(':')) {
        return Ok(text.to_owned());
    }
    Err(unfit(text, "the name or IP address of a host, without scheme or port"))
}

/// Parses a port to connect to.
pub(crate) fn port(text: &str) -> Result<u16, InvalidInput> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| unfit(text, "a port, 1 to 65535"))
}

/// Whether a host is this machine by its name (RFC 6761 §6.3) or address. Names are not resolved.
pub(crate) fn is_on_this_machine(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn unfit(text: &str, may_be: &str) -> InvalidInput {
    InvalidInput::new("value", format!("{text:?} is not valid; it may be {may_be}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_checked() {
        for good in ["localhost", "smtp.example.org", "10.0.0.1", "::1", "my_mail"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "smtp://mail", "mail:25", "a b", "a\r\nb", "żółw.pl"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}

//! Parsers of single values.

use std::{net::IpAddr, time::Duration};

use chrono_tz::Tz;

use crate::{InvalidInput, parse_span, policy::MOST_ATTEMPTS};

const UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

fn unfit(text: &str, may_be: &str) -> InvalidInput {
    InvalidInput::new("value", format!("{text:?} is not valid; it may be {may_be}"))
}

/// Minimum size of a message, in bytes. Its headers alone take about half of it.
const LEAST_MESSAGE: u64 = 1_000;

/// Parses the maximum size of a message. A number without a unit is often meant in MB.
pub(super) fn message_size(text: &str) -> Result<u64, InvalidInput> {
    let bytes = size(text)?;
    if bytes >= LEAST_MESSAGE {
        return Ok(bytes);
    }
    let number = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    Err(unfit(text, &format!("{LEAST_MESSAGE} bytes or more; a size in megabytes has the unit MB, such as {number}MB")))
}

/// Parses a number of bytes: `25MB`, `10MiB`, `1000000`.
pub(super) fn size(text: &str) -> Result<u64, InvalidInput> {
    let may_be = "a size such as 25MB, 10MiB, 500kB or a number of bytes above 0";
    let refuse = || unfit(text, may_be);
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, factor) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim_start())).ok_or_else(refuse)?;
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor)).ok_or_else(refuse)?;
    if bytes == 0 { Err(refuse()) } else { Ok(bytes) }
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, InvalidInput> {
    text.parse().map_err(|_| unfit(text, "true or false"))
}

/// Parses a port to listen on.
pub(super) fn own_port(text: &str) -> Result<u16, InvalidInput> {
    text.parse().map_err(|_| unfit(text, "a port, 1 to 65535, or 0 for any free one"))
}

/// Parses a port to listen on, or `off`.
pub(super) fn own_port_or_off(text: &str) -> Result<Option<u16>, InvalidInput> {
    if text == "off" {
        return Ok(None);
    }
    own_port(text).map(Some).map_err(|_| unfit(text, "off, a port from 1 to 65535, or 0 for any free one"))
}

pub(super) fn ip(text: &str) -> Result<IpAddr, InvalidInput> {
    text.parse().map_err(|_| unfit(text, "an IP address such as 127.0.0.1, 0.0.0.0 or ::1"))
}

pub(super) fn timezone(text: &str) -> Result<Tz, InvalidInput> {
    text.parse().map_err(|_| unfit(text, "a name of the time zone database such as UTC or Europe/Warsaw"))
}

/// Parses a duration of at least `least`.
pub(super) fn span_from(least: Duration, text: &str) -> Result<Duration, InvalidInput> {
    let span = parse_span(text)?;
    if span >= least { Ok(span) } else { Err(unfit(text, &format!("{} or more", crate::format_span(least)))) }
}

/// Parses a retention period; `0s` means none.
pub(super) fn retention(text: &str) -> Result<Option<Duration>, InvalidInput> {
    parse_span(text).map(|span| (!span.is_zero()).then_some(span))
}

/// Checks a maximum number of attempts.
pub(super) fn attempts(number: u32) -> Result<u32, InvalidInput> {
    match (1..=MOST_ATTEMPTS).contains(&number) {
        true => Ok(number),
        false => Err(unfit(&number.to_string(), &format!("1 to {MOST_ATTEMPTS}"))),
    }
}

/// Checks the name of a transport or a schedule.
pub(super) fn name(text: &str) -> Result<String, InvalidInput> {
    let fits = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if text.len() <= 32 && is_named_with(text, fits) {
        return Ok(text.to_owned());
    }
    Err(unfit(text, "a name of 1 to 32 characters of a-z, 0-9, _ and -"))
}

/// Checks a name for EHLO: a host name or an address literal.
pub(super) fn hello_name(text: &str) -> Result<String, InvalidInput> {
    let literal = text.starts_with('[') && text.ends_with(']');
    let fits =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-') || (literal && matches!(b, b':' | b'[' | b']'));
    if is_named_with(text, fits) {
        return Ok(text.to_owned());
    }
    Err(unfit(text, "a host name such as app.example.org, or an address in brackets such as [192.0.2.1]"))
}

fn is_named_with(text: &str, fits: impl Fn(u8) -> bool) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed() {
        for (text, bytes) in
            [("25MB", 25_000_000), ("10MiB", 10 << 20), ("7", 7), ("7 kb", 7_000), ("1GiB", 1 << 30), ("9B", 9)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "0", "0MB", "MB", "-1", "1.5MB", "5TB", "99999999999999999999", "18446744073709551615kB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_message_size_has_a_minimum() {
        assert_eq!((message_size("1kB"), message_size("25MB")), (Ok(1_000), Ok(25_000_000)));
        for (text, hint) in [("25", "25MB"), ("999", "999MB"), ("25B", "25MB")] {
            let problem = message_size(text).expect_err(text).problem;
            let expected = format!(
                "{text:?} is not valid; it may be 1000 bytes or more; a size in megabytes has the unit MB, such as \
                 {hint}"
            );
            assert_eq!(problem, expected);
        }
    }

    #[test]
    fn hello_names_are_checked() {
        for good in ["app.example.org", "localhost", "[192.0.2.1]", "[IPv6:::1]"] {
            assert!(hello_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a\r\nMAIL", "my_host", "::1"] {
            assert!(hello_name(bad).is_err(), "{bad}");
        }
    }
}

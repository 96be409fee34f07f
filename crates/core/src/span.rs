//! Durations in text form: `500ms`, `5s`, `1h30m`, `30d`.

use std::time::Duration;

use crate::{InvalidInput, bounds::quoted};

const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Maximum of a duration, in days: 100 years.
const LONGEST_DAYS: u64 = 36_600;

/// Parses a duration. A unit is required: `10` is refused.
///
/// # Errors
/// Returns an error if the text is not a duration, or is longer than 100 years.
pub fn parse_span(text: &str) -> Result<Duration, InvalidInput> {
    let shown = quoted(text);
    let refuse = |problem: String| InvalidInput::new("duration", problem);
    let unfit = || {
        let units = "it needs a number and a unit (ms, s, m, h, d, w), as in 30s or 1h30m";
        refuse(format!("{shown} is not a duration; {units}"))
    };
    let too_long = || refuse(format!("{shown} is too long; a duration may be at most {LONGEST_DAYS}d (100 years)"));
    let mut rest = text.trim();
    if rest.starts_with('-') {
        return Err(refuse(format!("{shown} is negative; a duration may be 0s or longer")));
    }
    if rest.is_empty() {
        return Err(unfit());
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0).ok_or_else(unfit)?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(unfit)?;
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*ms)).ok_or_else(too_long)?;
        total = total.checked_add(part).ok_or_else(too_long)?;
        rest = tail;
    }
    // Longer durations are typing errors, and exceed the numbers that Redis handles.
    if total > LONGEST_DAYS * 86_400_000 {
        return Err(too_long());
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration in the form that [`parse_span`] accepts, as short as possible.
#[must_use]
pub fn format_span(span: Duration) -> String {
    let mut ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, size) in UNITS.into_iter().skip(1) {
        if ms >= size {
            text.push_str(&format!("{}{unit}", ms / size));
            ms %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_and_written() {
        for (text, ms) in [
            ("500ms", 500),
            ("5s", 5_000),
            ("1h30m", 5_400_000),
            ("30d", 2_592_000_000),
            ("2w", 1_209_600_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "10", "s", "1x", "1h30", "-5s", "1.5h", "99999999999w", "200000d"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
        for (text, problem) in [
            ("-5m", "\"-5m\" is negative; a duration may be 0s or longer"),
            ("99999999h", "\"99999999h\" is too long; a duration may be at most 36600d (100 years)"),
            ("36601d", "\"36601d\" is too long; a duration may be at most 36600d (100 years)"),
            (
                "99999999999999999999s",
                "\"99999999999999999999s\" is too long; a duration may be at most 36600d (100 years)",
            ),
        ] {
            assert_eq!(parse_span(text).expect_err(text).problem, problem);
        }
        assert_eq!(parse_span("36600d").map(|span| span.as_secs()), Ok(36_600 * 86_400));
        for text in ["500ms", "1h30m", "30d", "0s", "1m5s"] {
            assert_eq!(parse_span(text).map(format_span).as_deref(), Ok(text));
        }
    }
}

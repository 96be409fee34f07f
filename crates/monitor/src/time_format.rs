//! Formatting of times, durations and numbers for people.

use std::borrow::Borrow;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;

/// A formatted time: exact for programs, in the time zone of the settings, and relative to now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FormattedTime {
    pub(crate) iso: String,
    pub(crate) full: String,
    pub(crate) ago: String,
}

/// Formatter of times, with the current time and the time zone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeFormatter {
    now: DateTime<Utc>,
    zone: Tz,
}

impl TimeFormatter {
    pub(crate) fn now(zone: Tz) -> Self {
        Self { now: Utc::now(), zone }
    }

    pub(crate) fn at_ms(&self, ms: i64) -> FormattedTime {
        self.moment(DateTime::from_timestamp_millis(ms).unwrap_or_default())
    }

    /// Formats the time of a report, if it has one.
    pub(crate) fn at(&self, rfc3339: Option<&str>) -> Option<FormattedTime> {
        let time = DateTime::parse_from_rfc3339(rfc3339?).ok()?;
        Some(self.moment(time.to_utc()))
    }

    /// Formats hours and minutes, for the axis of a chart.
    pub(crate) fn minute(&self, ms: i64) -> String {
        let time: DateTime<Utc> = DateTime::from_timestamp_millis(ms).unwrap_or_default();
        time.with_timezone(&self.zone).format("%H:%M").to_string()
    }

    fn moment(&self, time: DateTime<Utc>) -> FormattedTime {
        let seconds = ((self.now - time).num_milliseconds() + 500).div_euclid(1_000);
        let ago = match seconds {
            // Clocks of different machines differ slightly.
            -2..=2 => "just now".to_owned(),
            3.. => format!("{} ago", span(seconds.unsigned_abs())),
            _ => format!("in {}", span(seconds.unsigned_abs())),
        };
        FormattedTime {
            iso: time.to_rfc3339_opts(SecondsFormat::Millis, true),
            full: time.with_timezone(&self.zone).format("%Y-%m-%d %H:%M:%S %Z").to_string(),
            ago,
        }
    }
}

/// Formats a duration in its largest units: `45 s`, `3 min`, `2 h 5 min`, `4 d`.
pub(crate) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{minutes} min"),
        3_600..36_000 if minutes % 60 > 0 => format!("{hours} h {} min", minutes % 60),
        3_600..172_800 => format!("{hours} h"),
        _ => format!("{days} d"),
    }
}

/// Formats a number with thousands separators. Templates pass references.
pub(crate) fn grouped(number: impl Borrow<u64>) -> String {
    let digits = number.borrow().to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats milliseconds.
pub(crate) fn millis(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1_000, ms % 1_000 / 100) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_formatted() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min"),
            (3_600, "1 h"),
            (7_500, "2 h 5 min"),
            (90_000, "25 h"),
            (400_000, "4 d"),
        ] {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(millis(12), "12 ms");
        assert_eq!(millis(1_250), "1.2 s");
    }

    #[test]
    fn times_are_formatted_relative_to_now() {
        let clock = TimeFormatter::now(Tz::Europe__Warsaw);
        let now = clock.now.timestamp_millis();
        assert_eq!(clock.at_ms(now).ago, "just now");
        assert_eq!(clock.at_ms(now - 120_000).ago, "2 min ago");
        assert_eq!(clock.at_ms(now + 120_000).ago, "in 2 min");
        let moment = clock.at(Some("2026-01-02T03:04:05.000Z")).expect("a time");
        assert_eq!(moment.full, "2026-01-02 04:04:05 CET");
        assert_eq!(clock.at(Some("never")), None);
    }
}

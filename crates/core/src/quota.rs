//! Maximum number of mails in a calendar window: `quota = 50_000, per = "day"`.

use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use crate::InvalidInput;

/// Maximum number of mails in each hour, day or month of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Maximum number of mails.
    pub number: u64,
    /// Length of the window.
    pub per: Per,
    /// Time zone of the calendar.
    pub timezone: Tz,
    /// Handling of mail beyond the quota.
    pub over: Over,
}

/// A calendar window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// From minute 0 of an hour to minute 0 of the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From the first day of a month to the first of the next.
    Month,
}

/// Handling of mail beyond a quota.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Over {
    /// Wait for the next window.
    #[default]
    Wait,
    /// Use the queue's next transport, if there is one.
    Next,
}

const HOUR_MS: i64 = 3_600_000;

impl Quota {
    /// Starts of four windows in Unix milliseconds: the previous, the current, the next and the one
    /// after.
    #[must_use]
    pub fn windows(&self, now_ms: i64) -> [i64; 4] {
        let now = DateTime::<Utc>::from_timestamp_millis(now_ms).unwrap_or_default().with_timezone(&self.timezone);
        if self.per == Per::Hour {
            let into = i64::from(now.minute() * 60 + now.second()) * 1_000 + i64::from(now.timestamp_subsec_millis());
            let from = now_ms - into;
            return [from - HOUR_MS, from, from + HOUR_MS, from + 2 * HOUR_MS];
        }
        let this = self.first_day(now.date_naive());
        let starts = [self.before(this), this, self.after(this), self.after(self.after(this))];
        starts.map(|day| self.midnight_ms(day))
    }

    fn first_day(&self, day: NaiveDate) -> NaiveDate {
        if self.per == Per::Month { day.with_day(1).unwrap_or(day) } else { day }
    }

    fn before(&self, day: NaiveDate) -> NaiveDate {
        if self.per == Per::Month { day - Months::new(1) } else { day - Days::new(1) }
    }

    fn after(&self, day: NaiveDate) -> NaiveDate {
        if self.per == Per::Month { day + Months::new(1) } else { day + Days::new(1) }
    }

    /// Returns the first instant of a day. Some days begin at one o'clock, for daylight saving
    /// time.
    fn midnight_ms(&self, day: NaiveDate) -> i64 {
        let at =
            |hour| day.and_hms_opt(hour, 0, 0).and_then(|time| self.timezone.from_local_datetime(&time).earliest());
        (0..24).find_map(at).map_or(0, |first| first.timestamp_millis())
    }
}

impl Per {
    /// Adjective, as in "the daily quota".
    #[must_use]
    pub fn adjective(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Month => "monthly",
        }
    }

    /// Word of the setting, as in `per = "day"`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

impl FromStr for Per {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        [Self::Hour, Self::Day, Self::Month]
            .into_iter()
            .find(|per| per.as_str() == text)
            .ok_or_else(|| InvalidInput::new("per", format!("{text:?} is not a window; it may be hour, day or month")))
    }
}

impl FromStr for Over {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        match text {
            "next" => Ok(Self::Next),
            "wait" => Ok(Self::Wait),
            _ => Err(InvalidInput::new("over", format!("{text:?} is not valid; it may be wait or next"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis()
    }

    #[test]
    fn windows_follow_the_calendar() {
        let rows = [
            (Per::Hour, "Asia/Kolkata", "2026-03-01T10:10:00Z", "2026-03-01T09:30:00Z", "2026-03-01T10:30:00Z"),
            (Per::Day, "UTC", "2026-03-01T10:10:00Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
            // Daylight saving time begins: the day has 23 hours.
            (Per::Day, "Europe/Warsaw", "2026-03-29T10:10:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            (Per::Day, "Europe/Warsaw", "2026-10-25T23:30:00Z", "2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"),
            (Per::Month, "America/New_York", "2026-03-01T03:00:00Z", "2026-02-01T05:00:00Z", "2026-03-01T05:00:00Z"),
            // Midnight is skipped by daylight saving time.
            (Per::Day, "America/Santiago", "2026-09-06T12:00:00Z", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"),
        ];
        for (per, zone, now, from, to) in rows {
            let quota = Quota { number: 1, per, timezone: zone.parse().expect("a zone"), over: Over::Next };
            let [last, this, next, after] = quota.windows(ms(now));
            assert_eq!((this, next), (ms(from), ms(to)), "{per:?} {zone} {now}");
            assert!(last < this && next < after);
            assert_eq!(quota.windows(next)[1], next, "the next window begins where this one ends");
        }
    }
}

//! How much may go in a calendar window: `quota = 50_000, per = "day"`.

use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use crate::InvalidInput;

/// So many mails in each hour, day or month of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many.
    pub number: u64,
    /// In what.
    pub per: Per,
    /// Whose calendar.
    pub timezone: Tz,
    /// What becomes of mail beyond it.
    pub over: Over,
}

/// A window of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// From minute 0 to minute 0.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From the first to the first.
    Month,
}

/// What becomes of mail beyond a quota.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Over {
    /// It waits for the next window.
    #[default]
    Wait,
    /// It goes by the queue's next transport, where there is one.
    Next,
}

const HOUR_MS: i64 = 3_600_000;

impl Quota {
    /// When the windows begin around a moment, all in Unix milliseconds: the last, this, the next, the one after.
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

    /// The first moment of a day; some days begin at one o'clock.
    fn midnight_ms(&self, day: NaiveDate) -> i64 {
        let at =
            |hour| day.and_hms_opt(hour, 0, 0).and_then(|time| self.timezone.from_local_datetime(&time).earliest());
        (0..24).find_map(at).map_or(0, |first| first.timestamp_millis())
    }
}

impl Per {
    /// As in "the daily quota".
    #[must_use]
    pub fn adjective(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Month => "monthly",
        }
    }

    /// As in `per = "day"`.
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
            .ok_or_else(|| InvalidInput::new("per", format!("{text:?} is no window; it may be hour, day or month")))
    }
}

impl FromStr for Over {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        match text {
            "next" => Ok(Self::Next),
            "wait" => Ok(Self::Wait),
            _ => Err(InvalidInput::new("over", format!("{text:?} does not fit; it may be wait or next"))),
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
            // The day on which the clock is put forward has 23 hours.
            (Per::Day, "Europe/Warsaw", "2026-03-29T10:10:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            (Per::Day, "Europe/Warsaw", "2026-10-25T23:30:00Z", "2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"),
            (Per::Month, "America/New_York", "2026-03-01T03:00:00Z", "2026-02-01T05:00:00Z", "2026-03-01T05:00:00Z"),
            // Midnight that never was.
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

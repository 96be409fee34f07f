//! When a schedule fires, and what becomes of times that passed while nobody was there.
//!
//! Nothing here knows Redis or looks at a clock: every time is an argument, in Unix milliseconds.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};

use crate::{
    InvalidInput, format_span,
    settings::{Missed, Timing},
};

/// How late a time may be noticed and still count as on time: a beat that was slow, or restarted, loses nothing.
pub const TOLERANCE: Duration = Duration::from_secs(60);

/// The times at which a schedule fires.
///
/// A cron expression has five fields, or is `@hourly`, `@daily`, `@weekly`, `@monthly` or `@yearly`, and is read as
/// Vixie cron reads it: weekdays 0 to 7 with Sunday as both, day of month *or* weekday where both are given. Where the
/// clock is put forward, a fixed time of day that is left out fires right after the gap; where it is put back, it fires
/// the first time only. An expression with several hours or minutes goes by the clock on the wall instead.
///
/// An interval fires at its multiples since 1970-01-01 00:00 UTC, so that all processes agree after any restart: `15m`
/// means at 0, 15, 30 and 45 past, `24h` at midnight UTC.
#[derive(Clone)]
pub struct Timetable(Kind);

#[derive(Clone)]
enum Kind {
    Cron { cron: Box<Cron>, timezone: Tz },
    Every { ms: i64 },
}

/// What is to be done about a schedule now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The times to fire for, in order; they are at least a second apart, so there are at most 61.
    pub fire_ms: Vec<i64>,
    /// The last time that is decided then, fired for or let go.
    pub cursor_ms: i64,
    /// The first time that is still to come.
    pub next_ms: Option<i64>,
}

impl Timetable {
    /// Reads a timing; refuses a cron expression that is none, or that never fires.
    pub fn of(timing: &Timing) -> Result<Self, InvalidInput> {
        match timing {
            Timing::Every(span) => Ok(Self(Kind::Every { ms: millis(*span).max(1) })),
            Timing::Cron { expression, timezone } => {
                let table = Self(Kind::Cron { cron: Box::new(parse(expression)?), timezone: *timezone });
                // The calendar repeats itself, so any day is as good to begin with as any other.
                match table.next(0) {
                    Some(_) => Ok(table),
                    None => Err(refuse(expression, "never fires")),
                }
            }
        }
    }

    /// The first time after `ms`.
    #[must_use]
    pub fn next(&self, ms: i64) -> Option<i64> {
        match &self.0 {
            Kind::Every { ms: every } => ms.div_euclid(*every).checked_add(1)?.checked_mul(*every),
            Kind::Cron { cron, timezone } => {
                let found = cron.find_next_occurrence(&local(ms, *timezone)?, false).ok()?;
                Some(found.timestamp_millis())
            }
        }
    }

    /// The times after `ms`, in order.
    pub fn after(&self, ms: i64) -> impl Iterator<Item = i64> {
        std::iter::successors(self.next(ms), |last| self.next(*last))
    }

    /// The last time up to and including `ms`.
    #[must_use]
    pub fn latest(&self, ms: i64) -> Option<i64> {
        match &self.0 {
            Kind::Every { ms: every } => Some(ms.div_euclid(*every) * every),
            Kind::Cron { cron, timezone } => {
                let found = cron.find_previous_occurrence(&local(ms, *timezone)?, true).ok()?;
                Some(found.timestamp_millis())
            }
        }
    }

    /// What to do at `now_ms` about a schedule whose times up to `cursor_ms` are decided.
    ///
    /// Each time of the last minute ([`TOLERANCE`], or the grace where that is shorter) fires. If there is none, nobody
    /// was there: with [`Missed::Run`] the latest time fires if it is not older than its grace. All others are let go.
    #[must_use]
    pub fn plan(&self, missed: Missed, cursor_ms: i64, now_ms: i64) -> Plan {
        let oldest_ms = now_ms.saturating_sub(millis(tolerance(missed)));
        let from_ms = cursor_ms.max(oldest_ms.saturating_sub(1));
        let fire_ms: Vec<i64> = self.after(from_ms).take_while(|at| *at <= now_ms).collect();
        let next_ms = self.next(now_ms.max(cursor_ms));
        if let Some(last) = fire_ms.last() {
            return Plan { cursor_ms: *last, fire_ms, next_ms };
        }
        match self.latest(now_ms).filter(|at| *at > cursor_ms) {
            Some(latest) => Plan { fire_ms: made_up(missed, latest, now_ms), cursor_ms: latest, next_ms },
            None => Plan { fire_ms, cursor_ms, next_ms },
        }
    }
}

fn tolerance(missed: Missed) -> Duration {
    match missed {
        Missed::Skip => TOLERANCE,
        Missed::Run { grace } => grace.min(TOLERANCE),
    }
}

fn made_up(missed: Missed, latest_ms: i64, now_ms: i64) -> Vec<i64> {
    match missed {
        Missed::Run { grace } if now_ms - latest_ms <= millis(grace) => vec![latest_ms],
        Missed::Run { .. } | Missed::Skip => Vec::new(),
    }
}

/// Short: croner's own form fills pages.
impl fmt::Debug for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Cron { cron, timezone } => write!(f, "Timetable({} {timezone})", cron.as_str()),
            Kind::Every { ms } => write!(f, "Timetable(every {ms}ms)"),
        }
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron { expression, .. } => f.write_str(expression),
            Self::Every(span) => write!(f, "every {}", format_span(*span)),
        }
    }
}

fn parse(expression: &str) -> Result<Cron, InvalidInput> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(expression).map_err(|_| refuse(expression, "is no cron expression"))
}

fn refuse(expression: &str, why: &str) -> InvalidInput {
    InvalidInput::new(
        "cron",
        format!(
            "{expression:?} {why}; it may be five fields, as in \"0 8 * * 1-5\": minute (0-59), hour (0-23), day of the \
             month (1-31), month (1-12 or JAN-DEC) and day of the week (0-7 or SUN-SAT), each *, a value, a range, a \
             list or a step such as */5; or @hourly, @daily, @weekly, @monthly or @yearly"
        ),
    )
}

/// Whole seconds are enough: no time of a cron expression lies within one.
fn local(ms: i64, timezone: Tz) -> Option<DateTime<Tz>> {
    Some(DateTime::<Utc>::from_timestamp(ms.div_euclid(1_000), 0)?.with_timezone(&timezone))
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

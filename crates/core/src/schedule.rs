//! Firing times of schedules, and the handling of missed ones.
//!
//! This module uses neither Redis nor a clock: every time is an argument, in Unix milliseconds.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};

use crate::{InvalidInput, format_span};

/// Maximum delay after which a firing still counts as on time. A beat that is slow or restarting
/// misses nothing.
pub const TOLERANCE: Duration = Duration::from_secs(60);

/// Firing times of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timing {
    /// By a cron expression, in a time zone.
    Cron {
        /// Five fields, or a nickname such as `@daily`; see [`Timetable`].
        expression: String,
        /// Time zone of the hours and days.
        timezone: Tz,
    },
    /// At a fixed interval.
    Every(Duration),
}

/// Handling of times that passed while no beat was running; see [`Timetable::plan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// Skip them.
    Skip,
    /// Fire for the latest one, within a grace period.
    Run {
        /// Maximum delay.
        grace: Duration,
    },
}

/// Computed firing times of a [`Timing`].
///
/// A cron expression has five fields, or is `@hourly`, `@daily`, `@weekly`, `@monthly` or
/// `@yearly`. It is read as in Vixie cron: weekdays are 0 to 7 with Sunday as both. If day of month
/// and weekday are given, either is enough.
///
/// When daylight saving time begins, a skipped time of day fires right after the gap. When it ends,
/// a repeated time of day fires the first time only. An expression with several hours or minutes
/// follows the wall clock instead.
///
/// An interval fires at its multiples since 1970-01-01 00:00 UTC, so all processes agree after a
/// restart. `15m` fires at minutes 0, 15, 30 and 45, `24h` at midnight UTC.
#[derive(Clone)]
pub struct Timetable(TimetableKind);

#[derive(Clone)]
enum TimetableKind {
    Cron { cron: Box<Cron>, timezone: Tz },
    Every { ms: i64 },
}

/// Decision about a schedule at one point in time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Times to fire for, in ascending order: at least a second apart, so at most 61.
    pub fire_ms: Vec<i64>,
    /// Last time that is decided, whether fired or skipped.
    pub cursor_ms: i64,
    /// First time that is still to come.
    pub next_ms: Option<i64>,
}

impl Timetable {
    /// Builds the timetable of a timing.
    ///
    /// # Errors
    /// Returns an error if the cron expression is invalid or never fires.
    pub fn of(timing: &Timing) -> Result<Self, InvalidInput> {
        match timing {
            Timing::Every(span) => Ok(Self(TimetableKind::Every { ms: millis(*span).max(1) })),
            Timing::Cron { expression, timezone } => {
                let table = Self(TimetableKind::Cron { cron: Box::new(parse(expression)?), timezone: *timezone });
                // The calendar repeats, so the search may start on any day.
                match table.next(0) {
                    Some(_) => Ok(table),
                    None => Err(refuse(expression, "never fires")),
                }
            }
        }
    }

    /// Returns the first firing time after `ms`.
    #[must_use]
    pub fn next(&self, ms: i64) -> Option<i64> {
        match &self.0 {
            TimetableKind::Every { ms: every } => ms.div_euclid(*every).checked_add(1)?.checked_mul(*every),
            TimetableKind::Cron { cron, timezone } => {
                let found = cron.find_next_occurrence(&local(ms, *timezone)?, false).ok()?;
                Some(found.timestamp_millis())
            }
        }
    }

    /// Returns the firing times after `ms`, in ascending order.
    pub fn after(&self, ms: i64) -> impl Iterator<Item = i64> {
        std::iter::successors(self.next(ms), |last| self.next(*last))
    }

    /// Returns the last firing time up to and including `ms`.
    #[must_use]
    pub fn latest(&self, ms: i64) -> Option<i64> {
        match &self.0 {
            TimetableKind::Every { ms: every } => Some(ms.div_euclid(*every) * every),
            TimetableKind::Cron { cron, timezone } => {
                let found = cron.find_previous_occurrence(&local(ms, *timezone)?, true).ok()?;
                Some(found.timestamp_millis())
            }
        }
    }

    /// Decides what to do at `now_ms` about a schedule whose times up to `cursor_ms` are decided.
    ///
    /// Each time within the last minute ([`TOLERANCE`], or the grace period if that is shorter)
    /// fires. If there is none, no beat was running. Then [`Missed::Run`] fires the latest time if
    /// it is within its grace period. All other times are skipped.
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

/// Shows a short form: croner's own form fills pages.
impl fmt::Debug for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            TimetableKind::Cron { cron, timezone } => write!(f, "Timetable({} {timezone})", cron.as_str()),
            TimetableKind::Every { ms } => write!(f, "Timetable(every {ms}ms)"),
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
    parser.parse(expression).map_err(|_| refuse(expression, "is not a cron expression"))
}

fn refuse(expression: &str, why: &str) -> InvalidInput {
    InvalidInput::new(
        "cron",
        format!(
            "{expression:?} {why}; it may be five fields, as in \"0 8 * * 1-5\": minute (0-59), hour (0-23), \
             day of the month (1-31), month (1-12 or JAN-DEC) and day of the week (0-7 or SUN-SAT), each *, a value, \
             a range, a list or a step such as */5; or @hourly, @daily, @weekly, @monthly or @yearly"
        ),
    )
}

/// Converts to whole seconds, because cron expressions have no fractions of a second.
fn local(ms: i64, timezone: Tz) -> Option<DateTime<Tz>> {
    Some(DateTime::<Utc>::from_timestamp(ms.div_euclid(1_000), 0)?.with_timezone(&timezone))
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

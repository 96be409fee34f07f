//! A schedule, as it is told to people and programs.

use std::collections::HashMap;

use serde::Serialize;

use super::{field, firing::FiringId, schedule};
use crate::{Mailbox, Priority, QueueName, Result, schedule::Timing, store::jobs::rfc3339};

/// How many of the times to come are told.
const NEXT: usize = 5;

/// A schedule: the JSON form of `postroom schedule list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScheduleReport {
    /// Its name.
    pub name: String,
    /// When it fires: `0 8 * * *` or `every 5m`.
    pub timing: String,
    /// The time zone of a cron expression.
    pub timezone: Option<String>,
    /// Whether it fires at all.
    pub enabled: bool,
    /// Its template, if it has one.
    pub template: Option<String>,
    /// Its subject, if it has no template or another one than that.
    pub subject: Option<String>,
    /// To whom.
    pub to: Vec<Mailbox>,
    /// Whether each of them gets a mail of their own.
    pub each: bool,
    /// Where its mail goes.
    pub queue: QueueName,
    /// How urgent that is.
    pub priority: Priority,
    /// Where it comes from: `file`.
    pub source: String,
    /// The last time it fired for.
    pub last_at: Option<String>,
    /// The job or batch that this was.
    pub last_id: Option<FiringId>,
    /// The next five times; none while it is not enabled.
    pub next: Vec<String>,
}

pub(super) fn report(hash: &HashMap<String, String>, now_ms: i64) -> Result<ScheduleReport> {
    let schedule = schedule(hash)?;
    let from_ms = now_ms.max(schedule.cursor_ms);
    let settings = schedule.settings;
    let times = if settings.enabled { NEXT } else { 0 };
    Ok(ScheduleReport {
        timing: settings.timing.to_string(),
        timezone: match settings.timing {
            Timing::Cron { timezone, .. } => Some(timezone.to_string()),
            Timing::Every(_) => None,
        },
        name: settings.name,
        enabled: settings.enabled,
        template: settings.mail.template,
        subject: settings.mail.subject,
        to: settings.mail.to,
        each: settings.each,
        queue: settings.queue,
        priority: settings.priority,
        source: field(hash, "source")?,
        last_at: hash.get("last_ms").and_then(|ms| ms.parse().ok()).map(rfc3339),
        last_id: hash.get("last_id").map(|id| id.parse()).transpose()?,
        next: schedule.timetable.after(from_ms).take(times).map(rfc3339).collect(),
    })
}

//! Schedules as shown to users and programs.

use std::collections::HashMap;

use serde::Serialize;

use super::{field::field, firing_id::FiringId, stored::Schedule};
use crate::{Mailbox, Priority, QueueName, Result, schedule::Timing, time::rfc3339};

/// Number of next times in a report.
const NEXT: usize = 5;

/// A schedule: the JSON form of `postroom schedule list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScheduleReport {
    /// Name of the schedule.
    pub name: String,
    /// Times: `0 8 * * *` or `every 5m`.
    pub timing: String,
    /// Time zone of a cron expression.
    pub timezone: Option<String>,
    /// Whether the schedule is enabled.
    pub enabled: bool,
    /// Template of the mail, if any.
    pub template: Option<String>,
    /// Subject, if there is no template or it overrides the template's subject.
    pub subject: Option<String>,
    /// Recipients.
    pub to: Vec<Mailbox>,
    /// Whether each recipient gets a separate mail.
    pub each: bool,
    /// Queue of the mail.
    pub queue: QueueName,
    /// Priority of the mail.
    pub priority: Priority,
    /// Source of the schedule: `file`.
    pub source: String,
    /// Time of the last firing (RFC 3339).
    pub last_at: Option<String>,
    /// Job or batch of the last firing.
    pub last_id: Option<FiringId>,
    /// Next five times (RFC 3339); empty if the schedule is disabled.
    pub next: Vec<String>,
}

pub(in crate::store) fn report(hash: &HashMap<String, String>, now_ms: i64) -> Result<ScheduleReport> {
    let schedule = Schedule::read(hash)?;
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

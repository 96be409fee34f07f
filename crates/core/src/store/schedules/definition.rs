//! What a schedule is, as JSON in Redis.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::field;
use crate::{
    Error, InvalidInput, Mail, Priority, QueueName, Result,
    schedule::{Missed, Timing},
    settings::ScheduleSettings,
    store::enqueue::millis,
};

/// The names here are the protocol's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Definition {
    #[serde(flatten)]
    timing: Times,
    mail: Mail,
    #[serde(default)]
    each: bool,
    queue: QueueName,
    #[serde(default)]
    priority: Priority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_in_ms: Option<i64>,
    /// How late a missed time may be made up for; without it, it is let go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grace_ms: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Times {
    Cron { cron: String, timezone: String },
    Every { every_ms: i64 },
}

impl Definition {
    pub(super) fn of(schedule: &ScheduleSettings) -> Self {
        Self {
            timing: Times::of(&schedule.timing),
            mail: schedule.mail.clone(),
            each: schedule.each,
            queue: schedule.queue.clone(),
            priority: schedule.priority,
            expires_in_ms: schedule.expires_in.map(millis),
            grace_ms: match schedule.missed {
                Missed::Skip => None,
                Missed::Run { grace } => Some(millis(grace)),
            },
        }
    }

    pub(super) fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::Protocol(error.to_string()))
    }

    fn into_settings(self, name: String, enabled: bool) -> Result<ScheduleSettings, InvalidInput> {
        Ok(ScheduleSettings {
            name,
            timing: self.timing.into_timing()?,
            mail: self.mail,
            each: self.each,
            queue: self.queue,
            priority: self.priority,
            expires_in: self.expires_in_ms.map(span),
            enabled,
            missed: self.grace_ms.map_or(Missed::Skip, |grace| Missed::Run { grace: span(grace) }),
        })
    }
}

impl Times {
    fn of(timing: &Timing) -> Self {
        match timing {
            Timing::Cron { expression, timezone } => {
                Self::Cron { cron: expression.clone(), timezone: timezone.name().to_owned() }
            }
            Timing::Every(every) => Self::Every { every_ms: millis(*every) },
        }
    }

    fn into_timing(self) -> Result<Timing, InvalidInput> {
        match self {
            Self::Every { every_ms } => Ok(Timing::Every(span(every_ms))),
            Self::Cron { cron, timezone } => {
                let unknown = |_| InvalidInput::new("timezone", format!("{timezone:?} is not known to this version"));
                Ok(Timing::Cron { expression: cron, timezone: timezone.parse().map_err(unknown)? })
            }
        }
    }
}

/// Reads what a schedule, or a firing of it, says of itself. A firing is enabled.
pub(super) fn read(hash: &HashMap<String, String>, name: &str) -> Result<ScheduleSettings> {
    let json: String = field(hash, "definition")?;
    let definition: Definition = serde_json::from_str(&json).map_err(|error| Error::Protocol(error.to_string()))?;
    let enabled = hash.get("enabled").is_none_or(|word| word == "1");
    Ok(definition.into_settings(name.to_owned(), enabled)?)
}

/// By which it is told whether a source says something new.
pub(super) fn hash(definition: &str, enabled: &str) -> String {
    let digest = Sha256::digest(format!("{enabled}\n{definition}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The timing as one text, by which it is told whether it changed.
pub(super) fn timing_text(timing: &Timing) -> String {
    match timing {
        Timing::Cron { timezone, .. } => format!("{timing} {timezone}"),
        Timing::Every(_) => timing.to_string(),
    }
}

fn span(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

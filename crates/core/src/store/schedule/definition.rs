//! Stored form of a schedule: JSON in Redis.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::field::field;
use crate::{
    Error, InvalidInput, Mail, Priority, QueueName, Result,
    schedule::{Missed, Timing},
    settings::ScheduleSettings,
    time::millis,
};

/// Content of the field `definition`. The field names are part of the protocol.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct Definition {
    #[serde(flatten)]
    timing: StoredTiming,
    mail: Mail,
    #[serde(default)]
    each: bool,
    queue: QueueName,
    #[serde(default)]
    priority: Priority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_in_ms: Option<i64>,
    /// Maximum delay with which a missed time is made up for. Without it, missed times are skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grace_ms: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum StoredTiming {
    Cron { cron: String, timezone: String },
    Every { every_ms: i64 },
}

impl Definition {
    pub(in crate::store) fn of(schedule: &ScheduleSettings) -> Self {
        Self {
            timing: StoredTiming::of(&schedule.timing),
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

    pub(in crate::store) fn to_json(&self) -> Result<String> {
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

impl StoredTiming {
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

/// Reads the definition of a schedule or of a firing. A firing has no field `enabled` and counts as
/// enabled.
pub(in crate::store) fn read(hash: &HashMap<String, String>, name: &str) -> Result<ScheduleSettings> {
    let json: String = field(hash, "definition")?;
    let definition: Definition = serde_json::from_str(&json).map_err(|error| Error::Protocol(error.to_string()))?;
    let enabled = hash.get("enabled").is_none_or(|word| word == "1");
    Ok(definition.into_settings(name.to_owned(), enabled)?)
}

/// Returns a hash that detects changes of a schedule in its source.
pub(in crate::store) fn hash(definition: &str, enabled: &str) -> String {
    let digest = Sha256::digest(format!("{enabled}\n{definition}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the timing as text, which detects changes of it.
pub(in crate::store) fn timing_text(timing: &Timing) -> String {
    match timing {
        Timing::Cron { timezone, .. } => format!("{timing} {timezone}"),
        Timing::Every(_) => timing.to_string(),
    }
}

fn span(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

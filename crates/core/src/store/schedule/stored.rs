//! A schedule as stored in Redis.

use std::collections::HashMap;

use super::{definition, field::field, firing_id::FiringId};
use crate::{
    Error, Result,
    schedule::{Plan, Timetable},
    settings::ScheduleSettings,
};

/// A stored schedule.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Unique id. A schedule that is removed and created again has another one.
    pub id: String,
    /// Mail and times of the schedule.
    pub settings: ScheduleSettings,
    /// Number raised by each change.
    pub revision: u64,
    /// Time up to which all firings are decided (Unix milliseconds).
    pub cursor_ms: i64,
    pub(super) timetable: Timetable,
}

impl Schedule {
    /// Returns the firings due at `now_ms` and the new cursor.
    #[must_use]
    pub fn plan(&self, now_ms: i64) -> Plan {
        self.timetable.plan(self.settings.missed, self.cursor_ms, now_ms)
    }

    /// Returns the id of the job or batch for that time. It is the same in all processes.
    #[must_use]
    pub fn firing_id(&self, fire_ms: i64) -> FiringId {
        FiringId::derived(&self.settings, &format!("{}@{fire_ms}", self.id))
    }

    /// Reads a schedule's record.
    pub(super) fn read(hash: &HashMap<String, String>) -> Result<Self> {
        let name = field::<String>(hash, "name")?;
        let wrong = |error: Error| Error::Protocol(format!("schedule {name}: {error}"));
        let settings = definition::read(hash, &name).map_err(wrong)?;
        Ok(Self {
            timetable: Timetable::of(&settings.timing).map_err(|problem| wrong(problem.into()))?,
            settings,
            id: field(hash, "id").map_err(wrong)?,
            revision: field(hash, "revision").map_err(wrong)?,
            cursor_ms: field(hash, "cursor_ms").map_err(wrong)?,
        })
    }
}

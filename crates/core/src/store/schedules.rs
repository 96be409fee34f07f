//! Schedules: mail sent at given times.
//!
//! All data is under `{prefix:system}`. Beats move a schedule's cursor by compare-and-set. The same
//! script writes the firing to an outbox. Any process empties the outbox by enqueueing under an id
//! derived from schedule and time.

mod definition;
mod firing;
mod report;

use std::collections::HashMap;

use redis::Value;
use ulid::Ulid;

use self::definition::Definition;
pub use self::{
    firing::{Firing, FiringId},
    report::ScheduleReport,
};
use super::{
    connection::{Args, Store},
    reply::{Fields, LossyText, ReplyWords, unexpected},
};
use crate::{
    Error, Result,
    schedule::{Plan, Timetable},
    settings::ScheduleSettings,
};

/// Source of schedules in `postroom.toml`.
const FILE: &str = "file";

/// Maximum number of schedules or firings that one script call examines.
const PAGE: usize = 100;

/// Result of storing a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutReply {
    /// The schedule is new.
    Created,
    /// The schedule in the file differs from the previous one.
    Changed,
    /// The schedule in the file is the same as before, so the stored one is kept.
    Unchanged,
}

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
    timetable: Timetable,
}

/// Due schedules and the outbox.
#[derive(Debug, Clone)]
pub struct DueSchedules {
    /// Current time of Redis (Unix milliseconds).
    pub now_ms: i64,
    /// Time of the next firing after now (Unix milliseconds).
    pub later_ms: Option<i64>,
    /// Schedules that are due or were changed.
    pub schedules: Vec<Schedule>,
    /// Firings that are decided but not enqueued yet, the oldest first.
    pub outbox: Vec<Firing>,
    /// Errors of schedules and firings that this version can't read.
    pub unreadable: Vec<String>,
    /// Whether there may be more schedules or firings.
    pub more: bool,
}

/// Reply to a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TickReply {
    /// The cursor was moved and the firings are in the outbox.
    Ticked,
    /// Another beat was faster, or the schedule was changed or removed.
    Changed,
    /// The time has not come yet by Redis's clock.
    Early,
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
}

impl Store {
    /// Stores a schedule of the file. Live edits are kept as long as the file does not change.
    pub async fn put_schedule(&self, schedule: &ScheduleSettings) -> Result<PutReply> {
        let definition = Definition::of(schedule).to_json()?;
        let enabled = if schedule.enabled { "1" } else { "0" };
        let hash = definition::hash(&definition, enabled);
        let timing = definition::timing_text(&schedule.timing);
        let id = Ulid::generate().to_string();
        let args = Args::of([&schedule.name, FILE, &hash, &timing, enabled, &definition, &id]);
        match self.call_at::<String>("schedule_put", self.keys.system_base(), args).await?.as_str() {
            "created" => Ok(PutReply::Created),
            "changed" => Ok(PutReply::Changed),
            "unchanged" => Ok(PutReply::Unchanged),
            other => Err(unexpected(other)),
        }
    }

    /// Removes schedules that came from the file and are not among `names`. Returns the removed
    /// names.
    pub async fn remove_schedules_except(&self, names: &[&str]) -> Result<Vec<String>> {
        let all: Vec<LossyText> =
            self.run(redis::cmd("ZRANGE").arg(self.keys.system("schedules")).arg(0).arg(-1)).await?;
        let mut removed = Vec::new();
        for name in all.into_iter().map(|name| name.0).filter(|name| !names.contains(&name.as_str())) {
            let args = Args::of([&name, FILE]);
            match self.call_at::<String>("schedule_remove", self.keys.system_base(), args).await?.as_str() {
                "removed" => removed.push(name),
                "kept" | "missing" => {}
                other => return Err(unexpected(other)),
            }
        }
        Ok(removed)
    }

    /// Returns up to 100 due schedules and 100 firings, by Redis's clock.
    pub async fn due_schedules(&self) -> Result<DueSchedules> {
        let mut args = Args::default();
        args.push(PAGE);
        let mut words =
            ReplyWords::new(self.call_at::<Vec<Value>>("schedule_due", self.keys.system_base(), args).await?);
        let (now_ms, later_ms): (i64, i64) = (words.next()?, words.next()?);
        let due: Vec<Fields> = words.next()?;
        let entries: Vec<(String, Fields)> = words.next()?;
        let mut unreadable = Vec::new();
        let mut noted = |error: Error| unreadable.push(error.to_string());
        Ok(DueSchedules {
            now_ms,
            later_ms: (later_ms > 0).then_some(later_ms),
            schedules: due.iter().filter_map(|hash| schedule(hash).map_err(&mut noted).ok()).collect(),
            outbox: entries.iter().filter_map(|(id, entry)| Firing::read(id, entry).map_err(&mut noted).ok()).collect(),
            unreadable,
            more: due.len() >= PAGE || entries.len() >= PAGE,
        })
    }

    /// Decides a schedule's times: atomically moves its cursor and adds the firings to the outbox.
    pub async fn tick(&self, schedule: &Schedule, plan: &Plan) -> Result<TickReply> {
        let mut args = Args::of([&schedule.settings.name]);
        args.push(schedule.revision).push(schedule.cursor_ms).push(plan.cursor_ms).push(plan.next_ms.unwrap_or(0));
        for fire_ms in &plan.fire_ms {
            args.push(fire_ms).push(schedule.firing_id(*fire_ms));
        }
        match self.call_at::<String>("schedule_tick", self.keys.system_base(), args).await?.as_str() {
            "ticked" => Ok(TickReply::Ticked),
            "changed" => Ok(TickReply::Changed),
            "early" => Ok(TickReply::Early),
            other => Err(unexpected(other)),
        }
    }

    /// Reads all schedules, the oldest first, each with its next five times.
    pub async fn schedules(&self) -> Result<Vec<ScheduleReport>> {
        let mut reports = Vec::new();
        for offset in (0..).step_by(PAGE) {
            let mut args = Args::default();
            args.push(offset).push(PAGE);
            let (now_ms, page) = self.read_schedules(args).await?;
            // One unreadable record must not hide the others. `doctor` lists it.
            reports.extend(page.iter().filter_map(|hash| report::report(hash, now_ms).ok()));
            if page.len() < PAGE {
                break;
            }
        }
        Ok(reports)
    }

    /// Reads one schedule.
    pub async fn schedule(&self, name: &str) -> Result<Option<Schedule>> {
        let (_, page) = self.read_schedules(Args::of(["", "", name])).await?;
        page.first().map(|hash| schedule(hash)).transpose()
    }

    /// Returns the names of schedules whose record can't be read.
    pub(super) async fn unreadable_schedules(&self) -> Result<Vec<String>> {
        let (now_ms, page) = self.read_schedules(Args::of(["0", &PAGE.to_string()])).await?;
        let broken = page.iter().filter(|hash| report::report(hash, now_ms).is_err());
        Ok(broken.map(|hash| hash.get("name").cloned().unwrap_or_default()).collect())
    }

    async fn read_schedules(&self, args: Args) -> Result<(i64, Vec<Fields>)> {
        let mut words =
            ReplyWords::new(self.call_at::<Vec<Value>>("schedule_list", self.keys.system_base(), args).await?);
        Ok((words.next()?, words.rest()?))
    }
}

fn schedule(hash: &HashMap<String, String>) -> Result<Schedule> {
    let name = field::<String>(hash, "name")?;
    let wrong = |error: Error| Error::Protocol(format!("schedule {name}: {error}"));
    let settings = definition::read(hash, &name).map_err(wrong)?;
    Ok(Schedule {
        timetable: Timetable::of(&settings.timing).map_err(|problem| wrong(problem.into()))?,
        settings,
        id: field(hash, "id").map_err(wrong)?,
        revision: field(hash, "revision").map_err(wrong)?,
        cursor_ms: field(hash, "cursor_ms").map_err(wrong)?,
    })
}

/// Reads a mandatory field.
fn field<T: std::str::FromStr>(hash: &HashMap<String, String>, name: &str) -> Result<T> {
    let found = hash.get(name).and_then(|text| text.parse().ok());
    found.ok_or_else(|| Error::Protocol(format!("the field {name} is missing or invalid")))
}

//! Schedules: mail that is sent by the clock.
//!
//! All of it lives under `{prefix:system}`. Beats move a schedule's cursor by compare-and-set; the script that does so
//! puts the firing into an outbox, which any process empties by handing over under an id that is known beforehand.

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
    reply::{Fields, Text, Words, unexpected},
};
use crate::{
    Error, Result,
    schedule::{Plan, Timetable},
    settings::ScheduleSettings,
};

/// The source of schedules that stand in `postroom.toml`.
const FILE: &str = "file";

/// How many schedules or firings one script looks at.
const PAGE: usize = 100;

/// What became of a schedule that was handed to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is new.
    Created,
    /// The file says something else than before.
    Changed,
    /// The file says what it said before, so whatever is kept stands.
    Unchanged,
}

/// A schedule, as it is kept.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// A name like no other: a schedule that is removed and made anew has another one.
    pub id: String,
    /// What it sends, and when.
    pub settings: ScheduleSettings,
    /// Raised by each change.
    pub revision: u64,
    /// Its times up to here (Unix milliseconds) are decided.
    pub cursor_ms: i64,
    timetable: Timetable,
}

/// What the clock asks for.
#[derive(Debug, Clone)]
pub struct DueSchedules {
    /// Redis's clock (Unix milliseconds).
    pub now_ms: i64,
    /// The first time that is still to come (Unix milliseconds).
    pub later_ms: Option<i64>,
    /// Schedules whose time has come, or that changed and need a look.
    pub schedules: Vec<Schedule>,
    /// Firings that are decided but not handed over yet, the oldest first.
    pub outbox: Vec<Firing>,
    /// Schedules and firings that this version can't read, each with its reason.
    pub unreadable: Vec<String>,
    /// Whether there may be more than was looked at.
    pub more: bool,
}

/// The answer to a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TickReply {
    /// The cursor is moved and the firings are in the outbox.
    Ticked,
    /// Somebody else was faster, or the schedule was changed or removed.
    Changed,
    /// Redis's clock is not there yet.
    Early,
}

impl Schedule {
    /// What to do about it at `now_ms`.
    #[must_use]
    pub fn plan(&self, now_ms: i64) -> Plan {
        self.timetable.plan(self.settings.missed, self.cursor_ms, now_ms)
    }

    /// The job or batch that it fires for that time: always the same, whoever asks.
    #[must_use]
    pub fn firing_id(&self, fire_ms: i64) -> FiringId {
        FiringId::derived(&self.settings, &format!("{}@{fire_ms}", self.id))
    }
}

impl Store {
    /// Keeps a schedule of the file, unless the file said the very same before: then a live edit stands.
    pub async fn keep_schedule(&self, schedule: &ScheduleSettings) -> Result<Kept> {
        let definition = Definition::of(schedule).to_json()?;
        let enabled = if schedule.enabled { "1" } else { "0" };
        let hash = definition::hash(&definition, enabled);
        let timing = definition::timing_text(&schedule.timing);
        let id = Ulid::generate().to_string();
        let args = Args::of([&schedule.name, FILE, &hash, &timing, enabled, &definition, &id]);
        match self.call_at::<String>("schedule_put", self.keys.system_base(), args).await?.as_str() {
            "created" => Ok(Kept::Created),
            "changed" => Ok(Kept::Changed),
            "unchanged" => Ok(Kept::Unchanged),
            other => Err(unexpected(other)),
        }
    }

    /// Forgets the schedules that came from the file and are not among `names`; returns whom.
    pub async fn remove_schedules_but(&self, names: &[&str]) -> Result<Vec<String>> {
        let all: Vec<Text> = self.run(redis::cmd("ZRANGE").arg(self.keys.system("schedules")).arg(0).arg(-1)).await?;
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

    /// Asks what the clock asks for, by Redis's clock; at most 100 schedules and 100 firings.
    pub async fn due_schedules(&self) -> Result<DueSchedules> {
        let mut args = Args::default();
        args.push(PAGE);
        let mut words = Words::new(self.call_at::<Vec<Value>>("schedule_due", self.keys.system_base(), args).await?);
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

    /// Decides a schedule's times: moves its cursor and puts its firings into the outbox, all or nothing.
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
            // One that can't be read must not hide the others; `doctor` names it.
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
        let mut words = Words::new(self.call_at::<Vec<Value>>("schedule_list", self.keys.system_base(), args).await?);
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

/// A field that is always there.
fn field<T: std::str::FromStr>(hash: &HashMap<String, String>, name: &str) -> Result<T> {
    let found = hash.get(name).and_then(|text| text.parse().ok());
    found.ok_or_else(|| Error::Protocol(format!("the field {name} is missing or unreadable")))
}

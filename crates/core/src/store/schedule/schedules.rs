//! Stores schedules, reads them, and moves their cursors.

use redis::Value;
use ulid::Ulid;

use super::{
    definition::{self, Definition},
    firing::Firing,
    report::{self, ScheduleReport},
    stored::Schedule,
};
use crate::{
    Error, Result,
    schedule::Plan,
    settings::ScheduleSettings,
    store::{
        connection::Store,
        script::{Args, Fields, LossyText, ReplyWords, Script, unexpected},
    },
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

impl Store {
    /// Stores a schedule of the file. Live edits are kept as long as the file does not change.
    pub async fn put_schedule(&self, schedule: &ScheduleSettings) -> Result<PutReply> {
        let definition = Definition::of(schedule).to_json()?;
        let enabled = if schedule.enabled { "1" } else { "0" };
        let hash = definition::hash(&definition, enabled);
        let timing = definition::timing_text(&schedule.timing);
        let id = Ulid::generate().to_string();
        let args = Args::of([&schedule.name, FILE, &hash, &timing, enabled, &definition, &id]);
        match self.call_at::<String>(Script::SchedulePut, self.keys.system_base(), args).await?.as_str() {
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
            match self.call_at::<String>(Script::ScheduleRemove, self.keys.system_base(), args).await?.as_str() {
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
            ReplyWords::new(self.call_at::<Vec<Value>>(Script::ScheduleDue, self.keys.system_base(), args).await?);
        let (now_ms, later_ms): (i64, i64) = (words.next()?, words.next()?);
        let due: Vec<Fields> = words.next()?;
        let entries: Vec<(String, Fields)> = words.next()?;
        let mut unreadable = Vec::new();
        let mut record = |error: Error| unreadable.push(error.to_string());
        Ok(DueSchedules {
            now_ms,
            later_ms: (later_ms > 0).then_some(later_ms),
            schedules: due.iter().filter_map(|hash| Schedule::read(hash).map_err(&mut record).ok()).collect(),
            outbox: entries
                .iter()
                .filter_map(|(id, entry)| Firing::read(id, entry).map_err(&mut record).ok())
                .collect(),
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
        match self.call_at::<String>(Script::ScheduleTick, self.keys.system_base(), args).await?.as_str() {
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
        page.first().map(|hash| Schedule::read(hash)).transpose()
    }

    /// Returns the names of schedules whose record can't be read.
    pub(in crate::store) async fn unreadable_schedules(&self) -> Result<Vec<String>> {
        let (now_ms, page) = self.read_schedules(Args::of(["0", &PAGE.to_string()])).await?;
        let broken = page.iter().filter(|hash| report::report(hash, now_ms).is_err());
        Ok(broken.map(|hash| hash.get("name").cloned().unwrap_or_default()).collect())
    }

    async fn read_schedules(&self, args: Args) -> Result<(i64, Vec<Fields>)> {
        let mut words =
            ReplyWords::new(self.call_at::<Vec<Value>>(Script::ScheduleList, self.keys.system_base(), args).await?);
        Ok((words.next()?, words.rest()?))
    }
}

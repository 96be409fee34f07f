//! One pass over the schedules: decides what is due, and enqueues what was decided.

use std::{collections::BTreeSet, time::Duration};

use postroom_core::{
    Error, Result, Settings, Store,
    store::{DueSchedules, Firing, PutReply, RunId, Schedule, TickReply},
};
use tokio::time::Instant;

/// Maximum time between two passes. It bounds the delay of changes and of firings that a stopped
/// beat left behind.
const PASS_EVERY: Duration = Duration::from_secs(5);

/// Decides firings and enqueues them. All state that matters is in Redis, so a beat may be dropped
/// at any time.
#[derive(Debug)]
pub struct Beat {
    store: Store,
    settings: Settings,
    /// Problems that were logged, so that each is logged once.
    reported: BTreeSet<String>,
}

/// Result of one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeatReport {
    /// Number of firings that this pass decided.
    pub fired: usize,
    /// Number of firings that this pass enqueued, of any beat.
    pub enqueued: usize,
    /// Time of the next pass.
    pub next: Instant,
}

impl Beat {
    /// Returns a beat without state.
    #[must_use]
    pub fn new(store: Store, settings: Settings) -> Self {
        Self { store, settings, reported: BTreeSet::new() }
    }

    /// Replaces the settings.
    pub fn change(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Returns the id of the current Redis run.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable.
    pub async fn redis_run(&self) -> Result<RunId> {
        self.store.connected_run().await
    }

    /// Stores new and changed schedules of the file, and removes those that are no longer in it.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable or refuses a schedule.
    pub async fn adopt(&self) -> Result<()> {
        let schedules = &self.settings.schedules;
        for schedule in schedules {
            let (name, timing) = (&schedule.name, &schedule.timing);
            match self.store.put_schedule(schedule).await? {
                PutReply::Created => tracing::info!(schedule = name, "schedule {name} is new: {timing}"),
                PutReply::Changed => {
                    tracing::info!(schedule = name, "schedule {name} was changed by the file: {timing}");
                }
                PutReply::Unchanged => tracing::debug!(schedule = name, "schedule {name} is unchanged: {timing}"),
            }
        }
        let names: Vec<&str> = schedules.iter().map(|schedule| schedule.name.as_str()).collect();
        for name in self.store.remove_schedules_except(&names).await? {
            tracing::info!(schedule = name, "schedule {name} is removed: it is no longer in the file");
        }
        self.register_queues().await
    }

    /// Runs one pass.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable or replies unexpectedly.
    pub async fn run_once(&mut self) -> Result<BeatReport> {
        let due = self.store.due_schedules().await?;
        let read_at = Instant::now();
        let (mut problems, mut enqueued) = (due.unreadable.clone(), 0);
        for firing in &due.outbox {
            match self.enqueue(firing).await {
                Ok(()) => enqueued += 1,
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => {
                    problems.push(format!("schedule {}: {} is retried: {error}", firing.schedule.name, firing.id));
                }
            }
        }
        let decided = self.decide(&due).await?;
        self.report_once(problems);
        let again = decided.fired > 0 || due.more && decided.ticked + enqueued > 0;
        let wait = if again { Duration::ZERO } else { until(decided.next_ms, due.now_ms) };
        Ok(BeatReport { fired: decided.fired, enqueued, next: read_at + wait })
    }

    async fn decide(&self, due: &DueSchedules) -> Result<Decided> {
        let mut decided = Decided { next_ms: due.later_ms, ..Decided::default() };
        for schedule in &due.schedules {
            let plan = schedule.plan(due.now_ms);
            decided.next_ms = [decided.next_ms, plan.next_ms].into_iter().flatten().min();
            if self.store.tick(schedule, &plan).await? == TickReply::Ticked {
                decided.ticked += 1;
                decided.fired += plan.fire_ms.len();
                plan.fire_ms.iter().for_each(|fire_ms| log_firing(schedule, *fire_ms, due.now_ms));
            }
        }
        Ok(decided)
    }

    /// Enqueues the mail before deleting the firing. Enqueueing a firing twice has no effect.
    async fn enqueue(&self, firing: &Firing) -> Result<()> {
        let (name, id) = (&firing.schedule.name, &firing.id);
        match self.store.enqueue_firing(firing, &self.settings).await {
            Ok(()) => tracing::debug!(schedule = name, %id, "schedule {name}: {id} is enqueued"),
            // The mail was changed or cancelled meanwhile.
            Err(Error::Conflict(why)) => {
                tracing::info!(schedule = name, %id, "schedule {name}: {id} is dropped: {why}");
            }
            Err(Error::Invalid(why)) => {
                tracing::error!(schedule = name, %id, "schedule {name}: {id} is invalid and is dropped: {why}");
            }
            Err(error) => return Err(error),
        }
        self.store.drop_firing(firing).await
    }

    async fn register_queues(&self) -> Result<()> {
        let queues: BTreeSet<_> = self.settings.schedules.iter().map(|schedule| schedule.queue.clone()).collect();
        if queues.is_empty() {
            return Ok(());
        }
        self.store.register_queues(&queues.into_iter().collect::<Vec<_>>()).await
    }

    fn report_once(&mut self, problems: Vec<String>) {
        let problems: BTreeSet<String> = problems.into_iter().collect();
        for problem in problems.difference(&self.reported) {
            tracing::error!("{problem}");
        }
        self.reported = problems;
    }
}

#[derive(Default)]
struct Decided {
    ticked: usize,
    fired: usize,
    next_ms: Option<i64>,
}

fn log_firing(schedule: &Schedule, fire_ms: i64, now_ms: i64) {
    let (name, id, late_ms) = (&schedule.settings.name, schedule.firing_id(fire_ms), now_ms - fire_ms);
    tracing::info!(schedule = name, %id, late_ms, "schedule {name} fires: {id}");
}

/// Returns the time until just after `next_ms`, because Redis's clock is finer than milliseconds.
fn until(next_ms: Option<i64>, now_ms: i64) -> Duration {
    let wait = next_ms.and_then(|next_ms| u64::try_from(next_ms - now_ms + 1).ok()).map(Duration::from_millis);
    wait.unwrap_or(PASS_EVERY).min(PASS_EVERY)
}

//! One look at the clock: what is due is decided, what is decided is handed over.

use std::{collections::BTreeSet, time::Duration};

use postroom_core::{
    Error, Result, Settings, Store,
    store::{DueSchedules, Firing, PutReply, RunId, Schedule, TickReply},
};
use tokio::time::Instant;

/// At the latest after that long it looks again: for changes, and for what a beat that died has left.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Decides and hands over. It keeps nothing that matters, so it may be dropped at any moment.
#[derive(Debug)]
pub struct Beat {
    store: Store,
    settings: Settings,
    /// What was said to be wrong, so that it is said once.
    said: BTreeSet<String>,
}

/// What one look led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// How many firings it decided.
    pub fired: usize,
    /// How many firings it handed over, its own or another's.
    pub handed_over: usize,
    /// When to look again.
    pub next: Instant,
}

impl Beat {
    /// A beat that has not done anything yet.
    #[must_use]
    pub fn new(store: Store, settings: Settings) -> Self {
        Self { store, settings, said: BTreeSet::new() }
    }

    /// Goes by other settings from now on.
    pub fn change(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The run of Redis that it speaks to.
    pub async fn run(&self) -> Result<RunId> {
        self.store.connected_run().await
    }

    /// Takes the file's schedules over: those that say something new, and no longer those that are gone from it.
    pub async fn adopt(&self) -> Result<()> {
        let schedules = &self.settings.schedules;
        for schedule in schedules {
            let (name, timing) = (&schedule.name, &schedule.timing);
            match self.store.put_schedule(schedule).await? {
                PutReply::Created => tracing::info!(schedule = name, "schedule {name} is new: {timing}"),
                PutReply::Changed => {
                    tracing::info!(schedule = name, "schedule {name} was changed by the file: {timing}");
                }
                PutReply::Unchanged => tracing::debug!(schedule = name, "schedule {name} is as before: {timing}"),
            }
        }
        let names: Vec<&str> = schedules.iter().map(|schedule| schedule.name.as_str()).collect();
        for name in self.store.remove_schedules_except(&names).await? {
            tracing::info!(schedule = name, "schedule {name} is removed: it is gone from the file");
        }
        self.announce_queues().await
    }

    /// Looks once.
    pub async fn turn(&mut self) -> Result<Turn> {
        let due = self.store.due_schedules().await?;
        let read_at = Instant::now();
        let (mut troubles, mut handed_over) = (due.unreadable.clone(), 0);
        for firing in &due.outbox {
            match self.hand_over(firing).await {
                Ok(()) => handed_over += 1,
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => troubles.push(format!("schedule {}: {} waits: {error}", firing.schedule.name, firing.id)),
            }
        }
        let decided = self.decide(&due).await?;
        self.say_once(troubles);
        let again = decided.fired > 0 || due.more && decided.ticked + handed_over > 0;
        let wait = if again { Duration::ZERO } else { until(decided.next_ms, due.now_ms) };
        Ok(Turn { fired: decided.fired, handed_over, next: read_at + wait })
    }

    async fn decide(&self, due: &DueSchedules) -> Result<Decided> {
        let mut decided = Decided { next_ms: due.later_ms, ..Decided::default() };
        for schedule in &due.schedules {
            let plan = schedule.plan(due.now_ms);
            decided.next_ms = [decided.next_ms, plan.next_ms].into_iter().flatten().min();
            if self.store.tick(schedule, &plan).await? == TickReply::Ticked {
                decided.ticked += 1;
                decided.fired += plan.fire_ms.len();
                plan.fire_ms.iter().for_each(|fire_ms| tell(schedule, *fire_ms, due.now_ms));
            }
        }
        Ok(decided)
    }

    /// The mail first, then the outbox: in between, somebody may say the same again and nothing changes.
    async fn hand_over(&self, firing: &Firing) -> Result<()> {
        let (name, id) = (&firing.schedule.name, &firing.id);
        match self.store.enqueue_firing(firing, &self.settings).await {
            Ok(()) => tracing::debug!(schedule = name, %id, "schedule {name}: {id} is handed over"),
            // Somebody was faster with a word against it.
            Err(Error::Conflict(why)) => tracing::info!(schedule = name, %id, "schedule {name}: {id} is let go: {why}"),
            Err(Error::Invalid(why)) => {
                tracing::error!(schedule = name, %id, "schedule {name}: {id} is no mail: {why}");
            }
            Err(error) => return Err(error),
        }
        self.store.drop_firing(firing).await
    }

    async fn announce_queues(&self) -> Result<()> {
        let queues: BTreeSet<_> = self.settings.schedules.iter().map(|schedule| schedule.queue.clone()).collect();
        if queues.is_empty() {
            return Ok(());
        }
        self.store.register_queues(&queues.into_iter().collect::<Vec<_>>()).await
    }

    fn say_once(&mut self, troubles: Vec<String>) {
        let troubles: BTreeSet<String> = troubles.into_iter().collect();
        for trouble in troubles.difference(&self.said) {
            tracing::error!("{trouble}");
        }
        self.said = troubles;
    }
}

#[derive(Default)]
struct Decided {
    ticked: usize,
    fired: usize,
    next_ms: Option<i64>,
}

fn tell(schedule: &Schedule, fire_ms: i64, now_ms: i64) {
    let (name, id, late_ms) = (&schedule.settings.name, schedule.firing_id(fire_ms), now_ms - fire_ms);
    tracing::info!(schedule = name, %id, late_ms, "schedule {name} fires: {id}");
}

/// A moment past it: Redis's clock is finer than ours.
fn until(next_ms: Option<i64>, now_ms: i64) -> Duration {
    let wait = next_ms.and_then(|next_ms| u64::try_from(next_ms - now_ms + 1).ok()).map(Duration::from_millis);
    wait.unwrap_or(LOOK_EVERY).min(LOOK_EVERY)
}

//! State of the whole system, for the overview and the API.

use postroom_core::{
    QueueReport, Result, Store,
    store::{Minute, ProcessInfo, ServerInfo},
};
use serde::Serialize;

use crate::{
    inventory::queues,
    warning::{self, Warning},
};

/// Number of minutes in the charts.
const MINUTES: u32 = 60;

/// State of the whole system.
#[derive(Debug, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) warnings: Vec<Warning>,
    pub(crate) queues: Vec<QueueReport>,
    pub(crate) processes: Vec<ProcessInfo>,
    /// Last hour of all queues together, the oldest minute first.
    pub(crate) minutes: Vec<Minute>,
    /// Average duration of an attempt in the last hour.
    pub(crate) average_ms: Option<u64>,
    pub(crate) redis: RedisState,
}

/// State of Redis.
#[derive(Debug, Serialize)]
pub(crate) struct RedisState {
    pub(crate) version: String,
    pub(crate) used_memory: String,
    pub(crate) aof: bool,
    pub(crate) eviction_policy: String,
}

impl From<ServerInfo> for RedisState {
    fn from(facts: ServerInfo) -> Self {
        Self {
            version: facts.version,
            used_memory: facts.used_memory,
            aof: facts.aof,
            eviction_policy: facts.eviction_policy,
        }
    }
}

impl Snapshot {
    pub(crate) async fn take(store: &Store) -> Result<Self> {
        let queues = queues(store).await?;
        let processes = store.processes().await?;
        let mut minutes = Vec::new();
        for report in &queues {
            add_up(&mut minutes, store.minutes(&report.queue, MINUTES).await?);
        }
        let facts = store.server_info().await?;
        let mut warnings = warning::of(&queues, &processes, &facts);
        warnings.extend(warning::of_schedules(&store.schedules().await?, &processes));
        Ok(Self { warnings, average_ms: average_ms(&minutes), queues, processes, minutes, redis: facts.into() })
    }

    pub(crate) fn total(&self, count: impl Fn(&QueueReport) -> u64) -> u64 {
        self.queues.iter().map(count).sum()
    }

    pub(crate) fn in_last_hour(&self, count: impl Fn(&Minute) -> u64) -> u64 {
        self.minutes.iter().map(count).sum()
    }
}

/// Adds minutes of equal time, because a minute may end between two readings.
fn add_up(sum: &mut Vec<Minute>, minutes: Vec<Minute>) {
    if sum.is_empty() {
        *sum = minutes;
        return;
    }
    for minute in minutes {
        if let Some(known) = sum.iter_mut().find(|known| known.at_ms == minute.at_ms) {
            known.enqueued += minute.enqueued;
            known.sent += minute.sent;
            known.failed += minute.failed;
            known.cancelled += minute.cancelled;
            known.deferred += minute.deferred;
            known.tries += minute.tries;
            known.ms += minute.ms;
        }
    }
}

fn average_ms(minutes: &[Minute]) -> Option<u64> {
    let tries: u64 = minutes.iter().map(|minute| minute.tries).sum();
    let ms: u64 = minutes.iter().map(|minute| minute.ms).sum();
    ms.checked_div(tries)
}

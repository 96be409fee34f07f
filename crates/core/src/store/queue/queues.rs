//! Queues: depths, ages and counters.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{
    JobId, Priority, QueueName, Result,
    store::{
        connection::Store,
        script::{Fields, LossyText},
    },
    time::rfc3339,
};

/// A queue as shown to users and programs: the JSON form of `postroom queues`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueReport {
    /// Name of the queue.
    pub queue: QueueName,
    /// Whether the queue is paused.
    pub paused: bool,
    /// Number of scheduled jobs.
    pub scheduled: u64,
    /// Number of queued jobs.
    pub queued: u64,
    /// Number of jobs that are being sent.
    pub sending: u64,
    /// Number of deferred jobs.
    pub deferred: u64,
    /// Number of jobs in doubt.
    pub unknown: u64,
    /// Number of jobs ever sent.
    pub sent_total: u64,
    /// Number of jobs ever failed.
    pub failed_total: u64,
    /// Number of jobs ever cancelled.
    pub cancelled_total: u64,
    /// Number of jobs ever enqueued.
    pub enqueued_total: u64,
    /// Time since which the oldest queued job waits (RFC 3339).
    pub oldest_queued_at: Option<String>,
    /// Age of the oldest queued job in seconds.
    pub oldest_queued_s: Option<u64>,
}

/// Counters of one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Minute {
    /// Start of the minute (Unix milliseconds).
    pub at_ms: i64,
    /// Number of jobs enqueued.
    pub enqueued: u64,
    /// Number of jobs sent.
    pub sent: u64,
    /// Number of jobs failed.
    pub failed: u64,
    /// Number of jobs cancelled.
    pub cancelled: u64,
    /// Number of tries that ended in a defer.
    pub deferred: u64,
    /// Number of tries.
    pub tries: u64,
    /// Total duration of the tries in milliseconds.
    pub ms: u64,
}

impl Store {
    /// Adds queues to the list of known queues.
    pub async fn register_queues(&self, queues: &[QueueName]) -> Result<()> {
        let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
        self.run(redis::cmd("SADD").arg(self.keys.system("queues")).arg(names)).await
    }

    /// Returns the built-in queues and all queues ever used.
    pub async fn known_queues(&self) -> Result<Vec<QueueName>> {
        let used: Vec<LossyText> = self.run(redis::cmd("SMEMBERS").arg(self.keys.system("queues"))).await?;
        let built_in = QueueName::BUILT_IN.iter().map(|name| (*name).to_owned());
        let names: BTreeSet<QueueName> =
            used.into_iter().map(|name| name.0).chain(built_in).filter_map(|name| name.parse().ok()).collect();
        Ok(names.into_iter().collect())
    }

    /// Reads the state of a queue.
    pub async fn queue(&self, queue: &QueueName) -> Result<QueueReport> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME").cmd("HGETALL").arg(self.keys.of_queue(queue, "n"));
        let (time, hash): ((i64, i64), Fields) = self.run_all(&pipeline).await?;
        let now_ms = time.0 * 1_000 + time.1 / 1_000;
        // A counter that is negative for a moment reads as 0.
        let number = |field: &str| hash.number(field);
        let oldest_ms = self.oldest_queued_ms(queue).await?;
        Ok(QueueReport {
            queue: queue.clone(),
            paused: hash.contains_key("paused_ms"),
            scheduled: number("scheduled"),
            queued: number("queued"),
            sending: number("sending"),
            deferred: number("deferred"),
            unknown: number("unknown"),
            sent_total: number("sent_total"),
            failed_total: number("failed_total"),
            cancelled_total: number("cancelled_total"),
            enqueued_total: number("enqueued_total"),
            oldest_queued_at: oldest_ms.map(rfc3339),
            oldest_queued_s: oldest_ms.map(|ms| u64::try_from((now_ms - ms) / 1_000).unwrap_or(0)),
        })
    }

    /// Whether a queue is paused.
    pub async fn is_paused(&self, queue: &QueueName) -> Result<bool> {
        self.run(redis::cmd("HEXISTS").arg(self.keys.of_queue(queue, "n")).arg("paused_ms")).await
    }

    /// Returns the counters of the last `minutes` minutes, the oldest first, up to the current one.
    pub async fn minutes(&self, queue: &QueueName, minutes: u32) -> Result<Vec<Minute>> {
        let (seconds, _): (i64, i64) = self.run(&redis::cmd("TIME")).await?;
        let last = seconds / 60;
        let numbers: Vec<i64> = (last - i64::from(minutes) + 1..=last).collect();
        let mut pipeline = redis::pipe();
        for number in &numbers {
            pipeline.cmd("HGETALL").arg(self.keys.of_queue(queue, &format!("m:{number}")));
        }
        let hashes: Vec<Fields> = self.run_all(&pipeline).await?;
        Ok(numbers.iter().zip(hashes).map(|(number, hash)| minute(number * 60_000, &hash)).collect())
    }

    /// Returns the oldest due time among the first jobs of the ready lists that are still queued.
    async fn oldest_queued_ms(&self, queue: &QueueName) -> Result<Option<i64>> {
        let mut pipeline = redis::pipe();
        for priority in Priority::all() {
            pipeline.cmd("LRANGE").arg(self.keys.of_queue(queue, &format!("ready:{priority}"))).arg(0).arg(4);
        }
        let heads: Vec<Vec<LossyText>> = self.run_all(&pipeline).await?;
        let ids: Vec<JobId> = heads.into_iter().flatten().filter_map(|id| id.0.parse().ok()).collect();
        let jobs = self.jobs(&ids).await?;
        let queued = jobs.into_iter().flatten().filter(|job| job.state == crate::JobState::Queued);
        Ok(queued
            .filter_map(|job| job.due_at)
            .min()
            .and_then(|at| chrono::DateTime::parse_from_rfc3339(&at).ok())
            .map(|at| at.timestamp_millis()))
    }
}

fn minute(at_ms: i64, hash: &Fields) -> Minute {
    let number = |field: &str| hash.number(field);
    Minute {
        at_ms,
        enqueued: number("enqueued"),
        sent: number("sent"),
        failed: number("failed"),
        cancelled: number("cancelled"),
        deferred: number("deferred"),
        tries: number("tries"),
        ms: number("ms"),
    }
}

//! Queues: their depths, their ages, what went through them.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    connection::Store,
    jobs::rfc3339,
    reply::{Fields, Text},
};
use crate::{JobId, Priority, QueueName, Result};

/// A queue, as it is told to people and programs: the JSON form of `postroom queues`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueReport {
    /// Its name.
    pub queue: QueueName,
    /// Whether the handing out of its jobs is stopped.
    pub paused: bool,
    /// How many wait for their time.
    pub scheduled: u64,
    /// How many may be taken now.
    pub queued: u64,
    /// How many are being sent.
    pub sending: u64,
    /// How many will be tried again.
    pub deferred: u64,
    /// Of how many it can't be known whether they were sent.
    pub unknown: u64,
    /// How many were ever sent.
    pub sent_total: u64,
    /// How many ever failed.
    pub failed_total: u64,
    /// How many were ever cancelled.
    pub cancelled_total: u64,
    /// How many were ever handed over.
    pub enqueued_total: u64,
    /// Since when the oldest of those that may be taken waits.
    pub oldest_queued_at: Option<String>,
    /// The same in seconds.
    pub oldest_queued_s: Option<u64>,
}

/// What happened in one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Minute {
    /// When it began (Unix milliseconds).
    pub at_ms: i64,
    /// Jobs handed over.
    pub enqueued: u64,
    /// Jobs sent.
    pub sent: u64,
    /// Jobs failed.
    pub failed: u64,
    /// Jobs cancelled.
    pub cancelled: u64,
    /// Tries that ended in another try.
    pub deferred: u64,
    /// Tries.
    pub tries: u64,
    /// Milliseconds that the tries took, all together.
    pub ms: u64,
}

impl Store {
    /// Remembers that this queue is in use, so that everybody sees it.
    pub async fn announce_queues(&self, queues: &[QueueName]) -> Result<()> {
        let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
        self.run(redis::cmd("SADD").arg(self.keys.system("queues")).arg(names)).await
    }

    /// The built-in queues and every one that was ever used.
    pub async fn known_queues(&self) -> Result<Vec<QueueName>> {
        let used: Vec<Text> = self.run(redis::cmd("SMEMBERS").arg(self.keys.system("queues"))).await?;
        let built_in = QueueName::BUILT_IN.iter().map(|name| (*name).to_owned());
        let names: BTreeSet<QueueName> =
            used.into_iter().map(|name| name.0).chain(built_in).filter_map(|name| name.parse().ok()).collect();
        Ok(names.into_iter().collect())
    }

    /// Reads a queue.
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

    /// Whether the handing out of a queue's jobs is stopped.
    pub async fn is_paused(&self, queue: &QueueName) -> Result<bool> {
        self.run(redis::cmd("HEXISTS").arg(self.keys.of_queue(queue, "n")).arg("paused_ms")).await
    }

    /// The last `minutes` minutes of a queue, the oldest first, up to the running one.
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

    /// The heads of the ready lists: since when the oldest that really is queued has waited.
    async fn oldest_queued_ms(&self, queue: &QueueName) -> Result<Option<i64>> {
        let mut pipeline = redis::pipe();
        for priority in Priority::all() {
            pipeline.cmd("LRANGE").arg(self.keys.of_queue(queue, &format!("ready:{priority}"))).arg(0).arg(4);
        }
        let heads: Vec<Vec<Text>> = self.run_all(&pipeline).await?;
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

//! The processes that are alive, each telling of itself every few seconds.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::connection::{Args, Store};
use crate::{JobId, QueueName, Result};

/// What kind of process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessKind {
    /// Sends mail.
    Worker,
    /// Turns schedules into mail.
    Beat,
    /// Shows and steers.
    Monitor,
}

/// A process, as it tells of itself: the JSON form of `postroom workers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Its name, never the same twice.
    pub id: String,
    /// What it is.
    pub kind: ProcessKind,
    /// Where it runs.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// When it started (Unix milliseconds, its own clock).
    pub started_ms: i64,
    /// When it last told of itself (Unix milliseconds, Redis's clock).
    #[serde(default)]
    pub seen_ms: i64,
    /// What it is about: `running`, or `stopping`.
    pub state: String,
    /// The queues it serves.
    #[serde(default)]
    pub queues: Vec<QueueName>,
    /// How many mails it sends at a time.
    #[serde(default)]
    pub concurrency: usize,
    /// What it is sending.
    #[serde(default)]
    pub sending: Vec<BusyJob>,
    /// How many mails it has sent since it started.
    #[serde(default)]
    pub sent: u64,
    /// How many have failed with it.
    #[serde(default)]
    pub failed: u64,
    /// What keeps it from working, if anything.
    #[serde(default)]
    pub alert: Option<String>,
}

/// A job under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusyJob {
    /// Which.
    pub id: JobId,
    /// Since when (Unix milliseconds, the process's clock).
    pub since_ms: i64,
}

impl ProcessInfo {
    /// What this process can say of itself before it does anything.
    #[must_use]
    pub fn of_this_process(kind: ProcessKind, id: String) -> Self {
        Self {
            id,
            kind,
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: chrono::Utc::now().timestamp_millis(),
            seen_ms: 0,
            state: "running".to_owned(),
            queues: Vec::new(),
            concurrency: 0,
            sending: Vec::new(),
            sent: 0,
            failed: 0,
            alert: None,
        }
    }
}

/// After how long without a word it is taken for dead.
const DEAD_AFTER_MS: i64 = 3 * 5_000 + 1_000;

impl Store {
    /// Tells that this process is alive and what it does.
    pub async fn say_alive(&self, info: &ProcessInfo) -> Result<()> {
        let json = serde_json::to_string(info).map_err(|error| crate::Error::Protocol(error.to_string()))?;
        let args = Args::of([&info.id, &json]);
        self.call_at::<String>("say_alive", self.keys.system_base(), args).await.map(|_| ())
    }

    /// Tells that this process is gone.
    pub async fn say_gone(&self, id: &str) -> Result<()> {
        self.run(redis::cmd("HDEL").arg(self.keys.system("processes")).arg(id)).await
    }

    /// The processes that are alive. Those that are long dead are forgotten in passing.
    pub async fn processes(&self) -> Result<Vec<ProcessInfo>> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME").cmd("HGETALL").arg(self.keys.system("processes"));
        let (time, told): ((i64, i64), HashMap<String, String>) = self.run_all(&pipeline).await?;
        let oldest_ms = time.0 * 1_000 + time.1 / 1_000 - DEAD_AFTER_MS;
        let mut alive = Vec::new();
        for (id, json) in told {
            let Some((seen_ms, json)) = json.split_once(' ').and_then(|(ms, json)| Some((ms.parse().ok()?, json)))
            else {
                continue;
            };
            if seen_ms < oldest_ms {
                self.say_gone(&id).await?;
            } else if let Ok(info) = serde_json::from_str::<ProcessInfo>(json) {
                // Anything else is a newer version's words.
                alive.push(ProcessInfo { seen_ms, ..info });
            }
        }
        alive.sort_by(|a, b| (a.started_ms, &a.id).cmp(&(b.started_ms, &b.id)));
        Ok(alive)
    }

    /// The workers that are alive.
    pub async fn workers(&self) -> Result<Vec<ProcessInfo>> {
        let mut processes = self.processes().await?;
        processes.retain(|process| process.kind == ProcessKind::Worker);
        Ok(processes)
    }
}

//! The processes that are alive, each telling of itself every few seconds.

use serde::{Deserialize, Serialize};

use super::{
    connection::{Args, Store},
    reply::Fields,
};
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
    /// What keeps it from working, one thing each.
    #[serde(default)]
    pub alerts: Vec<Alert>,
    /// The first of them; told for readers that do not know `alerts`.
    #[serde(default)]
    pub alert: Option<String>,
    /// How its ways out are.
    #[serde(default)]
    pub transports: Vec<TransportReport>,
}

/// Something that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What it is about, as in `transport:main` or `template:welcome`; one alert for each.
    pub about: String,
    /// What is wrong, in a sentence.
    pub text: String,
    /// Since when (Unix milliseconds, the process's clock).
    pub since_ms: i64,
}

/// How a transport is, as one worker sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportReport {
    /// Its name.
    pub name: String,
    /// Whether mail leaves by it.
    pub state: TransportState,
    /// Since when (Unix milliseconds, the process's clock).
    pub since_ms: i64,
    /// Why not, if so: the server's words, or what went wrong.
    #[serde(default)]
    pub why: Option<String>,
    /// When a mail tries it next, if mail does not leave by it (Unix milliseconds, the process's clock).
    #[serde(default)]
    pub next_try_ms: Option<i64>,
}

/// Whether mail leaves by a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportState {
    /// It does.
    Up,
    /// Not for a moment: the server wants less.
    Paused,
    /// It does not: no connection, or our account is refused.
    Down,
}

impl TransportState {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Paused => "paused",
            Self::Down => "down",
        }
    }
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
            alerts: Vec::new(),
            alert: None,
            transports: Vec::new(),
        }
    }

    /// What an older version tells as its one alert is an alert among others.
    fn with_all_alerts(mut self) -> Self {
        if let (Some(text), true) = (&self.alert, self.alerts.is_empty()) {
            self.alerts.push(Alert { about: "worker".to_owned(), text: text.clone(), since_ms: self.seen_ms });
        }
        self
    }
}

/// After how long without a word it is taken for dead.
const DEAD_AFTER_MS: i64 = 3 * 5_000 + 1_000;

impl Store {
    /// Tells that this process is alive and what it does.
    pub async fn say_alive(&self, info: &ProcessInfo) -> Result<()> {
        let info = ProcessInfo { alert: info.alerts.first().map(|alert| alert.text.clone()), ..info.clone() };
        let json = serde_json::to_string(&info).map_err(|error| crate::Error::Protocol(error.to_string()))?;
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
        let (time, told): ((i64, i64), Fields) = self.run_all(&pipeline).await?;
        let oldest_ms = time.0 * 1_000 + time.1 / 1_000 - DEAD_AFTER_MS;
        let mut alive = Vec::new();
        for (id, json) in told.into_inner() {
            let Some((seen_ms, json)) = parts(&json) else { continue };
            if seen_ms < oldest_ms {
                self.say_gone(&id).await?;
            } else if let Ok(info) = serde_json::from_str::<ProcessInfo>(json) {
                // Anything else is a newer version's words.
                alive.push(ProcessInfo { seen_ms, ..info }.with_all_alerts());
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

/// When a process last reported, and its report in JSON.
fn parts(report: &str) -> Option<(i64, &str)> {
    let (seen_ms, json) = report.split_once(' ')?;
    Some((seen_ms.parse().ok()?, json))
}

/// Whether the entry of a process can be read.
pub(super) fn is_readable(report: &str) -> bool {
    parts(report).is_some_and(|(_, json)| serde_json::from_str::<ProcessInfo>(json).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_version_tells_is_understood() {
        let old = r#"{"id":"w","kind":"worker","host":"h","pid":1,"version":"0","started_ms":1,"state":"running","alert":"a template is missing"}"#;
        let info: ProcessInfo = serde_json::from_str(old).expect("understood");
        let info = ProcessInfo { seen_ms: 7, ..info }.with_all_alerts();
        let alert = Alert { about: "worker".to_owned(), text: "a template is missing".to_owned(), since_ms: 7 };
        assert_eq!((info.alerts, info.transports), (vec![alert], vec![]));
    }
}

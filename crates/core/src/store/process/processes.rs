//! Running processes. Each reports its state every few seconds.

use serde::{Deserialize, Serialize};

use crate::{
    JobId, QueueName, Result,
    store::{
        connection::Store,
        script::{Args, Fields, Script},
    },
};

/// Kind of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessKind {
    /// Sends mail.
    Worker,
    /// Enqueues the mail of schedules.
    Beat,
    /// Serves the dashboard, the API and the metrics.
    Monitor,
}

/// Report of a process: the JSON form of `postroom workers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Unique id of this run of the process.
    pub id: String,
    /// Kind of the process.
    pub kind: ProcessKind,
    /// Host name.
    pub host: String,
    /// Process id on that host.
    pub pid: u32,
    /// Version of the process.
    pub version: String,
    /// Time of the start (Unix milliseconds, the process's clock).
    pub started_ms: i64,
    /// Time of the last report (Unix milliseconds, Redis's clock).
    #[serde(default)]
    pub seen_ms: i64,
    /// `running` or `stopping`.
    pub state: String,
    /// Queues that the process serves.
    #[serde(default)]
    pub queues: Vec<QueueName>,
    /// Maximum number of mails sent at the same time.
    #[serde(default)]
    pub concurrency: usize,
    /// Jobs that are being sent.
    #[serde(default)]
    pub sending: Vec<BusyJob>,
    /// Number of mails sent since the start.
    #[serde(default)]
    pub sent: u64,
    /// Number of jobs failed since the start.
    #[serde(default)]
    pub failed: u64,
    /// Whether a worker has no default sender, so that mails without `from` wait.
    #[serde(default)]
    pub lacks_sender: bool,
    /// Problems that keep the process from working.
    #[serde(default)]
    pub alerts: Vec<Alert>,
    /// Text of the first alert, for readers that do not know `alerts`.
    #[serde(default)]
    pub alert: Option<String>,
    /// State of each transport.
    #[serde(default)]
    pub transports: Vec<TransportReport>,
}

/// A problem that needs a person's attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Subject, such as `transport:main` or `template:welcome`. There is one alert per subject.
    pub about: String,
    /// Description of the problem in a sentence.
    pub text: String,
    /// Time since which the problem exists (Unix milliseconds, the process's clock).
    pub since_ms: i64,
}

/// State of a transport in one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportReport {
    /// Name of the transport.
    pub name: String,
    /// Whether the transport is usable.
    pub state: TransportState,
    /// Time since which this state lasts (Unix milliseconds, the process's clock).
    pub since_ms: i64,
    /// Reason if it is not up: the server's reply or an error.
    #[serde(default)]
    pub why: Option<String>,
    /// Time of the next try if it is not up (Unix milliseconds, the process's clock).
    #[serde(default)]
    pub next_try_ms: Option<i64>,
}

/// Availability of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportState {
    /// Mail is sent.
    Up,
    /// No mail is sent for a short time because the server asked for a lower rate.
    Paused,
    /// No mail is sent: the connection fails or the account is refused.
    Down,
}

impl TransportState {
    /// Returns the state as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Paused => "paused",
            Self::Down => "down",
        }
    }
}

/// A job that is being sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusyJob {
    /// Id of the job.
    pub id: JobId,
    /// Time at which it was started (Unix milliseconds, the process's clock).
    pub since_ms: i64,
}

impl ProcessInfo {
    /// Returns the first report of this process.
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
            lacks_sender: false,
            alerts: Vec::new(),
            alert: None,
            transports: Vec::new(),
        }
    }

    /// Adds the single alert of an older version to the list.
    fn with_all_alerts(mut self) -> Self {
        if let (Some(text), true) = (&self.alert, self.alerts.is_empty()) {
            self.alerts.push(Alert { about: "worker".to_owned(), text: text.clone(), since_ms: self.seen_ms });
        }
        self
    }
}

/// Age of a report after which the process counts as dead.
const DEAD_AFTER_MS: i64 = 3 * 5_000 + 1_000;

impl Store {
    /// Reports that this process is alive, and its state.
    pub async fn report_alive(&self, info: &ProcessInfo) -> Result<()> {
        let info = ProcessInfo { alert: info.alerts.first().map(|alert| alert.text.clone()), ..info.clone() };
        let json = serde_json::to_string(&info).map_err(|error| crate::Error::Protocol(error.to_string()))?;
        let args = Args::of([&info.id, &json]);
        self.call_at::<String>(Script::SayAlive, self.keys.system_base(), args).await.map(|_| ())
    }

    /// Removes this process from the list.
    pub async fn report_gone(&self, id: &str) -> Result<()> {
        self.run(redis::cmd("HDEL").arg(self.keys.system("processes")).arg(id)).await
    }

    /// Returns the live processes by time of start, and removes dead ones.
    pub async fn processes(&self) -> Result<Vec<ProcessInfo>> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME").cmd("HGETALL").arg(self.keys.system("processes"));
        let (time, reports): ((i64, i64), Fields) = self.run_all(&pipeline).await?;
        let oldest_ms = time.0 * 1_000 + time.1 / 1_000 - DEAD_AFTER_MS;
        let mut alive = Vec::new();
        for (id, json) in reports.into_inner() {
            let Some((seen_ms, json)) = parts(&json) else { continue };
            if seen_ms < oldest_ms {
                self.report_gone(&id).await?;
            } else if let Ok(info) = serde_json::from_str::<ProcessInfo>(json) {
                // An unreadable report comes from a newer version.
                alive.push(ProcessInfo { seen_ms, ..info }.with_all_alerts());
            }
        }
        alive.sort_by(|a, b| (a.started_ms, &a.id).cmp(&(b.started_ms, &b.id)));
        Ok(alive)
    }

    /// Returns the live workers.
    pub async fn workers(&self) -> Result<Vec<ProcessInfo>> {
        let mut processes = self.processes().await?;
        processes.retain(|process| process.kind == ProcessKind::Worker);
        Ok(processes)
    }
}

/// Splits an entry into the time of the report and its JSON.
fn parts(report: &str) -> Option<(i64, &str)> {
    let (seen_ms, json) = report.split_once(' ')?;
    Some((seen_ms.parse().ok()?, json))
}

/// Whether the entry of a process can be read.
pub(in crate::store) fn is_readable(report: &str) -> bool {
    parts(report).is_some_and(|(_, json)| serde_json::from_str::<ProcessInfo>(json).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_an_older_version_is_read() {
        let old = concat!(
            r#"{"id":"w","kind":"worker","host":"h","pid":1,"version":"0","started_ms":1,"#,
            r#""state":"running","alert":"a template is missing"}"#
        );
        let info: ProcessInfo = serde_json::from_str(old).expect("a report");
        let info = ProcessInfo { seen_ms: 7, ..info }.with_all_alerts();
        let alert = Alert { about: "worker".to_owned(), text: "a template is missing".to_owned(), since_ms: 7 };
        assert_eq!((info.alerts, info.transports), (vec![alert], vec![]));
    }
}

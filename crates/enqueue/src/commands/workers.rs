//! `postroom workers`

use chrono::{DateTime, SecondsFormat, Utc};
use postroom_core::store::{Alert, ProcessInfo, ProcessKind, TransportReport, TransportState};
use serde::Serialize;

use super::{Context, exit::Result, table};

const EXAMPLES: &str = "Examples:
  postroom workers
  postroom workers --json | jq -r '\"\\(.host) \\(.pid) \\(.sent)\"'";

/// Show the processes that are alive: workers, beats, monitors
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

/// A process with its times as people and programs outside read them.
#[derive(Debug, Serialize)]
struct Alive<'a> {
    id: &'a str,
    kind: ProcessKind,
    state: &'a str,
    host: &'a str,
    pid: u32,
    version: &'a str,
    queues: Vec<&'a str>,
    concurrency: usize,
    sending: usize,
    sent: u64,
    failed: u64,
    started_at: String,
    seen_at: String,
    transports: Vec<Way<'a>>,
    alerts: Vec<Told<'a>>,
}

/// How a transport is with it.
#[derive(Debug, Serialize)]
struct Way<'a> {
    name: &'a str,
    state: TransportState,
    since_at: String,
    why: Option<&'a str>,
    next_try_at: Option<String>,
}

/// What keeps it from working.
#[derive(Debug, Serialize)]
struct Told<'a> {
    about: &'a str,
    text: &'a str,
    since_at: String,
}

pub(crate) async fn run(context: &Context, _: &Args) -> Result<()> {
    let processes = context.postroom.store().await?.processes().await?;
    let alive: Vec<Alive<'_>> = processes.iter().map(Alive::of).collect();
    context.console.list(&alive, || table_of(&alive));
    if alive.iter().all(|process| process.kind != ProcessKind::Worker) {
        context.console.warn("no worker is alive: nothing is sent");
    }
    Ok(())
}

impl<'a> Alive<'a> {
    fn of(process: &'a ProcessInfo) -> Self {
        Self {
            id: &process.id,
            kind: process.kind,
            state: &process.state,
            host: &process.host,
            pid: process.pid,
            version: &process.version,
            queues: process.queues.iter().map(postroom_core::QueueName::as_str).collect(),
            concurrency: process.concurrency,
            sending: process.sending.len(),
            sent: process.sent,
            failed: process.failed,
            started_at: rfc3339(process.started_ms),
            seen_at: rfc3339(process.seen_ms),
            transports: process.transports.iter().map(Way::of).collect(),
            alerts: process.alerts.iter().map(Told::of).collect(),
        }
    }
}

impl<'a> Way<'a> {
    fn of(report: &'a TransportReport) -> Self {
        Self {
            name: &report.name,
            state: report.state,
            since_at: rfc3339(report.since_ms),
            why: report.why.as_deref(),
            next_try_at: report.next_try_ms.map(rfc3339),
        }
    }

    fn word(&self) -> String {
        format!("{} {}", self.name, self.state.as_str())
    }
}

impl<'a> Told<'a> {
    fn of(alert: &'a Alert) -> Self {
        Self { about: &alert.about, text: &alert.text, since_at: rfc3339(alert.since_ms) }
    }
}

fn table_of(alive: &[Alive<'_>]) -> String {
    let mut table = table::with(&[
        "kind",
        "host",
        "pid",
        "state",
        "queues",
        "transports",
        "sending",
        "sent",
        "failed",
        "since",
        "alerts",
    ]);
    for process in alive {
        table.add_row([
            kind(process.kind).to_owned(),
            process.host.to_owned(),
            process.pid.to_string(),
            process.state.to_owned(),
            process.queues.join(" "),
            process.transports.iter().map(Way::word).collect::<Vec<_>>().join(", "),
            format!("{}/{}", process.sending, process.concurrency),
            process.sent.to_string(),
            process.failed.to_string(),
            process.started_at.clone(),
            process.alerts.iter().map(|alert| alert.text).collect::<Vec<_>>().join("; "),
        ]);
    }
    table.trim_fmt()
}

fn kind(kind: ProcessKind) -> &'static str {
    match kind {
        ProcessKind::Worker => "worker",
        ProcessKind::Beat => "beat",
        ProcessKind::Monitor => "monitor",
    }
}

fn rfc3339(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

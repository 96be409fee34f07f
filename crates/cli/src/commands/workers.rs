//! `postroom workers`

use chrono::{DateTime, SecondsFormat, Utc};
use postroom_core::store::{Alert, ProcessInfo, ProcessKind, TransportReport, TransportState};
use serde::Serialize;

use crate::{context::Context, exit::Result, table};

const EXAMPLES: &str = "Examples:
  postroom workers
  postroom workers --json | jq -r '\"\\(.host) \\(.pid) \\(.sent)\"'";

/// Show the live processes: workers, beats and monitors
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

/// A live process in the output.
#[derive(Debug, Serialize)]
struct ProcessView<'a> {
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
    transports: Vec<TransportView<'a>>,
    alerts: Vec<AlertView<'a>>,
}

/// The state of a transport in one worker.
#[derive(Debug, Serialize)]
struct TransportView<'a> {
    name: &'a str,
    state: TransportState,
    since_at: String,
    why: Option<&'a str>,
    next_try_at: Option<String>,
}

/// A problem that a process reports.
#[derive(Debug, Serialize)]
struct AlertView<'a> {
    about: &'a str,
    text: &'a str,
    since_at: String,
}

pub(crate) async fn run(context: &Context, _: &Args) -> Result<()> {
    let processes = context.postroom.store().await?.processes().await?;
    let views: Vec<ProcessView<'_>> = processes.iter().map(ProcessView::of).collect();
    context.console.list(&views, || table_of(&views));
    if views.iter().all(|process| process.kind != ProcessKind::Worker) {
        context.console.warn("no worker is alive, so no mail is sent");
    }
    Ok(())
}

impl<'a> ProcessView<'a> {
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
            transports: process.transports.iter().map(TransportView::of).collect(),
            alerts: process.alerts.iter().map(AlertView::of).collect(),
        }
    }
}

impl<'a> TransportView<'a> {
    fn of(report: &'a TransportReport) -> Self {
        Self {
            name: &report.name,
            state: report.state,
            since_at: rfc3339(report.since_ms),
            why: report.why.as_deref(),
            next_try_at: report.next_try_ms.map(rfc3339),
        }
    }

    fn text(&self) -> String {
        format!("{} {}", self.name, self.state.as_str())
    }
}

impl<'a> AlertView<'a> {
    fn of(alert: &'a Alert) -> Self {
        Self { about: &alert.about, text: &alert.text, since_at: rfc3339(alert.since_ms) }
    }
}

fn table_of(views: &[ProcessView<'_>]) -> String {
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
    for process in views {
        table.add_row([
            kind(process.kind).to_owned(),
            process.host.to_owned(),
            process.pid.to_string(),
            process.state.to_owned(),
            process.queues.join(" "),
            process.transports.iter().map(TransportView::text).collect::<Vec<_>>().join(", "),
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

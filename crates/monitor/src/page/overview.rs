//! Overview page.

use askama::Template;
use axum::extract::State;
use postroom_core::{
    JobState, QueueReport,
    store::{JobFilter, ProcessInfo, ProcessKind, TransportReport},
};

use super::{PageResult, Shell, html, row::JobRow};
use crate::{
    app::App,
    chart::Chart,
    inventory::workers_of,
    snapshot::Snapshot,
    time_format::{FormattedTime, TimeFormatter, grouped, millis, span},
};

/// Maximum number of recent failures.
const FAILURES: usize = 5;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    tiles: Vec<Tile>,
    charts: Vec<Chart>,
    queues: Vec<QueueRow>,
    processes: Vec<ProcessRow>,
    failures: Vec<JobRow>,
    snapshot: Snapshot,
}

/// A labelled number.
struct Tile {
    label: &'static str,
    figure: String,
    more: String,
    kind: &'static str,
    link: &'static str,
}

/// A queue as a row.
pub(super) struct QueueRow {
    pub(super) report: QueueReport,
    pub(super) workers: usize,
    pub(super) oldest: Option<String>,
}

impl QueueRow {
    pub(super) fn new(report: &QueueReport, processes: &[ProcessInfo]) -> Self {
        Self {
            workers: workers_of(report, processes).count(),
            oldest: report.oldest_queued_s.map(span),
            report: report.clone(),
        }
    }

    /// Numbers of unfinished jobs, each with label and state.
    pub(super) fn depths(&self) -> [(&'static str, u64, &'static str); 5] {
        let queue = &self.report;
        [
            ("Queued", queue.queued, "queued"),
            ("Scheduled", queue.scheduled, "scheduled"),
            ("Deferred", queue.deferred, "deferred"),
            ("Sending", queue.sending, "sending"),
            ("Unknown", queue.unknown, "unknown"),
        ]
    }

    /// Whether jobs wait, but no worker serves the queue.
    pub(super) fn is_stranded(&self) -> bool {
        self.workers == 0 && self.report.queued + self.report.deferred + self.report.scheduled > 0
    }
}

/// A process as a row.
struct ProcessRow {
    kind: &'static str,
    info: ProcessInfo,
    started: FormattedTime,
    queues: String,
    transports: Vec<TransportRow>,
    busy: usize,
}

/// A transport of a worker as a row.
struct TransportRow {
    name: String,
    state: &'static str,
    since: FormattedTime,
    why: String,
}

impl ProcessRow {
    fn new(info: &ProcessInfo, clock: TimeFormatter) -> Self {
        Self {
            kind: kind(info.kind),
            started: clock.at_ms(info.started_ms),
            queues: info.queues.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            transports: info.transports.iter().map(|report| TransportRow::new(report, clock)).collect(),
            busy: info.sending.len(),
            info: info.clone(),
        }
    }
}

impl TransportRow {
    fn new(report: &TransportReport, clock: TimeFormatter) -> Self {
        Self {
            name: report.name.clone(),
            state: report.state.as_str(),
            since: clock.at_ms(report.since_ms),
            why: report.why.clone().unwrap_or_default(),
        }
    }
}

pub(crate) async fn show(State(app): State<App>, shell: Shell) -> PageResult {
    let (store, clock) = (app.store()?, app.clock());
    let snapshot = Snapshot::take(store).await?;
    let failed = JobFilter { state: Some(JobState::Failed), ..JobFilter::default() };
    let failures = store.find_jobs(&failed, None, FAILURES).await?.jobs;
    html(&OverviewPage {
        shell: shell.at("overview"),
        tiles: tiles(&snapshot),
        charts: charts(&snapshot, clock),
        queues: snapshot.queues.iter().map(|queue| QueueRow::new(queue, &snapshot.processes)).collect(),
        processes: snapshot.processes.iter().map(|info| ProcessRow::new(info, clock)).collect(),
        failures: failures.iter().map(|job| JobRow::new(job, clock)).collect(),
        snapshot,
    })
}

fn charts(snapshot: &Snapshot, clock: TimeFormatter) -> Vec<Chart> {
    let minutes = &snapshot.minutes;
    vec![
        Chart::new("sent", "Sent per minute", minutes, clock, |minute| minute.sent),
        Chart::new("failed", "Failed per minute", minutes, clock, |minute| minute.failed),
        Chart::new("deferred", "Deferred per minute", minutes, clock, |minute| minute.deferred),
    ]
}

fn tiles(snapshot: &Snapshot) -> Vec<Tile> {
    let tile = |label, figure, more, kind, link| Tile { label, figure, more, kind, link };
    let (sent, failed) = (snapshot.in_last_hour(|minute| minute.sent), snapshot.in_last_hour(|minute| minute.failed));
    let (queued, later) =
        (snapshot.total(|queue| queue.queued), snapshot.total(|queue| queue.scheduled + queue.deferred));
    let oldest = snapshot.queues.iter().filter_map(|queue| queue.oldest_queued_s).max();
    let average = snapshot.average_ms.map_or_else(|| "–".to_owned(), millis);
    let attempts = format!("{} attempts", grouped(snapshot.in_last_hour(|minute| minute.tries)));
    let busy = format!("{} slots", grouped(slots(&snapshot.processes)));
    vec![
        tile("Sent", grouped(sent), "in the last hour".to_owned(), "sent", "/jobs?state=sent"),
        tile("Failed", grouped(failed), share(failed, sent + failed), "failed", "/jobs?state=failed"),
        tile(
            "Queued",
            grouped(queued),
            format!("{} scheduled or deferred", grouped(later)),
            "queued",
            "/jobs?state=queued",
        ),
        tile("Sending", grouped(snapshot.total(|queue| queue.sending)), busy, "sending", "/jobs?state=sending"),
        tile(
            "Oldest waiting",
            oldest.map_or_else(|| "–".to_owned(), span),
            "ready to be sent".to_owned(),
            "",
            "/queues",
        ),
        tile("Average attempt", average, attempts, "", "/jobs"),
    ]
}

fn slots(processes: &[ProcessInfo]) -> u64 {
    let workers = processes.iter().filter(|process| process.kind == ProcessKind::Worker);
    workers.map(|worker| worker.concurrency as u64).sum()
}

fn share(part: u64, total: u64) -> String {
    let permille = (part * 1_000).checked_div(total).unwrap_or(0);
    format!("{}.{} % in the last hour", permille / 10, permille % 10)
}

fn kind(kind: ProcessKind) -> &'static str {
    match kind {
        ProcessKind::Worker => "worker",
        ProcessKind::Beat => "beat",
        ProcessKind::Monitor => "monitor",
    }
}

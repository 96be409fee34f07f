//! Page of a batch: its counters, its pace, its jobs.

use askama::Template;
use axum::extract::{Path, State};
use postroom_core::{BatchId, BatchReport};

use super::{BoundedQuery, PageResult, Shell, batches::BatchRow, html, row::JobRow};
use crate::{
    app::App,
    handler_error::HandlerError,
    query::{JobQuery, PAGE},
    time_format::grouped,
};

#[derive(Template)]
#[template(path = "batch.html")]
struct BatchPage {
    shell: Shell,
    row: BatchRow,
    counters: Vec<StateCounter>,
    /// Number of jobs that a cancel would affect.
    waiting: String,
    can_cancel: bool,
    rows: Vec<JobRow>,
    state: String,
    next: Option<String>,
}

/// Number of jobs in one state, with a link to them.
struct StateCounter {
    word: &'static str,
    figure: String,
    link: String,
}

pub(crate) async fn show(
    State(app): State<App>,
    shell: Shell,
    Path(id): Path<String>,
    BoundedQuery(query): BoundedQuery<JobQuery>,
) -> PageResult {
    // The next page is the list of all jobs, filtered by this batch.
    let query = JobQuery { batch: id.clone(), queue: String::new(), ..query };
    let (store, clock) = (app.store()?, app.clock());
    let id: BatchId = id.parse().map_err(|_| HandlerError::not_found(format!("the batch {id:?}")))?;
    let report = store.batch(&id).await?.ok_or_else(|| HandlerError::not_found(format!("the batch {id}")))?;
    let filter = query.filter()?;
    let found = store.find_jobs(&filter, query.cursor(), PAGE).await?;
    let waiting = report.scheduled + report.queued + report.deferred;
    html(&BatchPage {
        shell: shell.at("batches"),
        counters: counters(&report),
        waiting: grouped(waiting),
        can_cancel: waiting > 0,
        rows: found.jobs.iter().map(|job| JobRow::new(job, clock)).collect(),
        next: found.next.map(|cursor| query.encoded(&query.state, &cursor)),
        state: query.state,
        row: BatchRow::new(report, clock),
    })
}

fn counters(report: &BatchReport) -> Vec<StateCounter> {
    let counts = [
        ("scheduled", report.scheduled),
        ("queued", report.queued),
        ("sending", report.sending),
        ("deferred", report.deferred),
        ("sent", report.sent),
        ("failed", report.failed),
        ("cancelled", report.cancelled),
        ("unknown", report.unknown),
    ];
    let counter = |(word, number)| StateCounter { word, figure: grouped(number), link: format!("?state={word}#jobs") };
    counts.map(counter).into()
}

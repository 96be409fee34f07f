//! Page of a batch: its counters, its pace, its jobs.

use askama::Template;
use axum::extract::{Path, State};
use postroom_core::{BatchId, BatchReport};

use super::{Asked, Page, Shell, batches::Line, html, row::Row};
use crate::{
    app::App,
    failure::Failure,
    moment::grouped,
    query::{JobQuery, PAGE},
};

#[derive(Template)]
#[template(path = "batch.html")]
struct BatchPage {
    shell: Shell,
    line: Line,
    counters: Vec<Counter>,
    /// Number of jobs that a cancel would affect.
    waiting: String,
    can_cancel: bool,
    rows: Vec<Row>,
    state: String,
    next: Option<String>,
}

/// Number of jobs in one state, with a link to them.
struct Counter {
    word: &'static str,
    figure: String,
    link: String,
}

pub(crate) async fn show(
    State(app): State<App>,
    shell: Shell,
    Path(id): Path<String>,
    Asked(query): Asked<JobQuery>,
) -> Page {
    // The next page is the list of all jobs, filtered by this batch.
    let query = JobQuery { batch: id.clone(), queue: String::new(), ..query };
    let (store, clock) = (app.store()?, app.clock());
    let id: BatchId = id.parse().map_err(|_| Failure::not_found(format!("the batch {id:?}")))?;
    let report = store.batch(&id).await?.ok_or_else(|| Failure::not_found(format!("the batch {id}")))?;
    let filter = query.filter()?;
    let found = store.find_jobs(&filter, query.cursor(), PAGE).await?;
    let waiting = report.scheduled + report.queued + report.deferred;
    html(&BatchPage {
        shell: shell.at("batches"),
        counters: counters(&report),
        waiting: grouped(waiting),
        can_cancel: waiting > 0,
        rows: found.jobs.iter().map(|job| Row::new(job, clock)).collect(),
        next: found.next.map(|cursor| query.encoded(&query.state, &cursor)),
        state: query.state,
        line: Line::new(report, clock),
    })
}

fn counters(report: &BatchReport) -> Vec<Counter> {
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
    let counter = |(word, number)| Counter { word, figure: grouped(number), link: format!("?state={word}#jobs") };
    counts.map(counter).into()
}

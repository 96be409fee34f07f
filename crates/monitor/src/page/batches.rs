//! List of batches, the latest first.

use askama::Template;
use axum::extract::State;
use postroom_core::{BatchReport, QueueName, Result, Store};

use super::{BoundedQuery, PageResult, Shell, bar::ProgressBar, html};
use crate::{
    app::App,
    query::{BatchQuery, PAGE, encode, page_number},
    time_format::{FormattedTime, TimeFormatter, grouped, span},
};

#[derive(Template)]
#[template(path = "batches.html")]
struct BatchesPage {
    shell: Shell,
    query: BatchQuery,
    queues: Vec<String>,
    rows: Vec<BatchRow>,
    earlier: Option<String>,
    later: Option<String>,
}

/// A batch as a row of the list.
pub(super) struct BatchRow {
    pub(super) report: BatchReport,
    pub(super) bar: ProgressBar,
    pub(super) created: Option<FormattedTime>,
    pub(super) settled: String,
    pub(super) total: String,
    /// State in one word, also used as a CSS class.
    pub(super) state: &'static str,
    pub(super) left: Option<String>,
}

impl BatchRow {
    pub(super) fn new(report: BatchReport, clock: TimeFormatter) -> Self {
        Self {
            bar: ProgressBar::new(&report),
            created: clock.at(Some(&report.created_at)),
            settled: grouped(report.total.saturating_sub(report.unfinished())),
            total: grouped(report.total),
            state: state(&report),
            left: report.eta_s.map(span),
            report,
        }
    }
}

pub(crate) async fn show(
    State(app): State<App>,
    shell: Shell,
    BoundedQuery(query): BoundedQuery<BatchQuery>,
) -> PageResult {
    let (store, clock) = (app.store()?, app.clock());
    let page = page_number(&query.page)?;
    query.limit()?;
    let (batches, more) = latest(store, query.queue()?, page, PAGE).await?;
    let link = |page: usize| encode(&[("queue", query.queue.trim()), ("page", &page.to_string())]);
    html(&BatchesPage {
        shell: shell.at("batches"),
        queues: store.known_queues().await?.iter().map(ToString::to_string).collect(),
        rows: batches.into_iter().map(|batch| BatchRow::new(batch, clock)).collect(),
        earlier: more.then(|| link(page + 1)),
        later: page.checked_sub(1).map(link),
        query,
    })
}

/// Returns a page of the latest batches, of one queue or of all, and whether there are more. For
/// all queues, each one is read up to the end of the page.
pub(crate) async fn latest(
    store: &Store,
    queue: Option<QueueName>,
    page: usize,
    size: usize,
) -> Result<(Vec<BatchReport>, bool)> {
    if let Some(queue) = queue {
        let mut found = store.batches(&queue, page * size, size + 1).await?;
        let more = found.len() > size;
        found.truncate(size);
        return Ok((found, more));
    }
    let mut all = Vec::new();
    for queue in store.known_queues().await? {
        all.extend(store.batches(&queue, 0, (page + 1) * size + 1).await?);
    }
    all.sort_by(|a, b| b.created_at.cmp(&a.created_at));
    let more = all.len() > (page + 1) * size;
    Ok((all.into_iter().skip(page * size).take(size).collect(), more))
}

fn state(report: &BatchReport) -> &'static str {
    match report {
        _ if report.done && report.total > 0 && report.cancelled == report.total => "cancelled",
        _ if report.done => "done",
        _ if report.paused => "paused",
        _ if !report.sealed => "filling",
        _ if report.unknown > 0 && report.unknown == report.unfinished() => "unknown",
        _ => "running",
    }
}

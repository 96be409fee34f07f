//! JSON API for programs: read-only, with the fields of `postroom … --json`.

use axum::{
    Json,
    extract::{Path, State},
};
use postroom_core::{BatchId, BatchReport, JobId, JobReport};
use serde_json::{Value, json};

use crate::{
    app::App,
    bounded_query::BoundedQuery,
    handler_error::HandlerError,
    inventory,
    page::batches::latest,
    query::{BatchQuery, JobQuery, page_number},
    snapshot::Snapshot,
};

type JsonResult<T = Value> = Result<Json<T>, HandlerError>;

pub(crate) async fn overview(State(app): State<App>) -> JsonResult<Snapshot> {
    Ok(Json(Snapshot::take(app.store()?).await?))
}

pub(crate) async fn jobs(State(app): State<App>, BoundedQuery(query): BoundedQuery<JobQuery>) -> JsonResult {
    let page = app.store()?.find_jobs(&query.filter()?, query.cursor(), query.limit()?).await?;
    Ok(Json(json!({ "jobs": page.jobs, "next": page.next })))
}

pub(crate) async fn job(State(app): State<App>, Path(id): Path<String>) -> JsonResult<JobReport> {
    let id: JobId = id.parse()?;
    let job = app.store()?.job(&id).await?;
    job.map(Json).ok_or_else(|| HandlerError::not_found(id))
}

pub(crate) async fn batches(State(app): State<App>, BoundedQuery(query): BoundedQuery<BatchQuery>) -> JsonResult {
    let (batches, more) = latest(app.store()?, query.queue()?, page_number(&query.page)?, query.limit()?).await?;
    Ok(Json(json!({ "batches": batches, "more": more })))
}

pub(crate) async fn batch(State(app): State<App>, Path(id): Path<String>) -> JsonResult<BatchReport> {
    let id: BatchId = id.parse()?;
    let batch = app.store()?.batch(&id).await?;
    batch.map(Json).ok_or_else(|| HandlerError::not_found(id))
}

pub(crate) async fn queues(State(app): State<App>) -> JsonResult {
    Ok(Json(json!({ "queues": inventory::queues(app.store()?).await? })))
}

pub(crate) async fn workers(State(app): State<App>) -> JsonResult {
    Ok(Json(json!({ "workers": app.store()?.processes().await? })))
}

pub(crate) async fn schedules(State(app): State<App>) -> JsonResult {
    Ok(Json(json!({ "schedules": app.store()?.schedules().await? })))
}

//! Batches: the jobs of one bulk request.

use std::time::Duration;

use redis::Value;
use serde::Serialize;

use crate::{
    BatchId, Error, Mail, Pace, QueueName, Result,
    store::{
        connection::Store,
        script::{Args, Fields, ReplyWords, Script, unexpected},
    },
    time::{millis, rfc3339},
};

/// A batch to create.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBatch {
    /// Id of the batch.
    pub id: BatchId,
    /// Name shown to users.
    pub name: String,
    /// Time for which the batch is kept after its end. `None` is stored as 0.
    pub retention: Option<Duration>,
    /// Content shared by all mails of the batch.
    pub shared: Mail,
    /// Spacing of the mails, if any.
    pub pace: Option<Pace>,
}

/// A batch as shown to users and programs: the JSON form of `postroom status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchReport {
    /// Id of the batch.
    pub id: BatchId,
    /// Name shown to users.
    pub name: String,
    /// Queue of the batch.
    pub queue: QueueName,
    /// Template of the shared content.
    pub template: Option<String>,
    /// Time of creation (RFC 3339).
    pub created_at: String,
    /// Time at which the batch was done (RFC 3339).
    pub done_at: Option<String>,
    /// Number of jobs so far; final once the batch is sealed.
    pub total: u64,
    /// Number of input rows that were not valid mails.
    pub invalid: u64,
    /// Number of input rows that repeated an address.
    pub duplicates: u64,
    /// Number of scheduled jobs.
    pub scheduled: u64,
    /// Number of queued jobs.
    pub queued: u64,
    /// Number of jobs that are being sent.
    pub sending: u64,
    /// Number of deferred jobs.
    pub deferred: u64,
    /// Number of jobs accepted by the next server.
    pub sent: u64,
    /// Number of failed jobs.
    pub failed: u64,
    /// Number of cancelled jobs.
    pub cancelled: u64,
    /// Number of jobs in doubt.
    pub unknown: u64,
    /// Whether the input has ended.
    pub sealed: bool,
    /// Whether the batch or its queue is paused.
    pub paused: bool,
    /// Whether the batch is sealed and no job is unfinished.
    pub done: bool,
    /// Microseconds between two mails, if the batch has a pace.
    pub pace_us: Option<u64>,
    /// Mails settled per second since creation, up to the end of the batch.
    pub rate: f64,
    /// Estimated seconds left. `None` while paused or if only jobs in doubt are left.
    pub eta_s: Option<u64>,
}

impl BatchReport {
    /// Returns the number of unfinished jobs.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.scheduled + self.queued + self.sending + self.deferred + self.unknown
    }
}

impl Store {
    /// Creates a batch. Repeating the call has no further effect.
    pub async fn create_batch(&self, batch: &NewBatch) -> Result<()> {
        let shared = serde_json::to_string(&batch.shared).map_err(|error| Error::Protocol(error.to_string()))?;
        let mut args = Args::of([&batch.id.to_string(), &batch.name]);
        args.push(batch.retention.map_or(0, millis));
        args.push(batch.shared.template.as_deref().unwrap_or_default()).push(shared);
        push_pace(&mut args, batch.pace);
        match self.call::<String>(Script::BatchCreate, batch.id.queue(), args).await?.as_str() {
            "created" | "known" => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Pauses a batch and returns whether this changed its state. Jobs that are being sent are
    /// finished.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such batch, [`Error::Conflict`] if it was cancelled.
    pub async fn pause_batch(&self, id: &BatchId) -> Result<bool> {
        self.steer_batch(id, "pause", None).await
    }

    /// Resumes a batch and returns whether this changed its state.
    ///
    /// # Errors
    /// As for [`Store::pause_batch`].
    pub async fn resume_batch(&self, id: &BatchId) -> Result<bool> {
        self.steer_batch(id, "resume", None).await
    }

    /// Changes the spacing of a batch's mails.
    ///
    /// # Errors
    /// As for [`Store::pause_batch`].
    pub async fn pace_batch(&self, id: &BatchId, pace: Option<Pace>) -> Result<()> {
        self.steer_batch(id, "pace", pace).await.map(drop)
    }

    async fn steer_batch(&self, id: &BatchId, act: &str, pace: Option<Pace>) -> Result<bool> {
        let mut args = Args::of([&id.to_string(), act]);
        push_pace(&mut args, pace);
        match self.call::<String>(Script::BatchSteer, id.queue(), args).await?.as_str() {
            "done" => Ok(true),
            "unchanged" => Ok(false),
            "cancelled" => Err(Error::Conflict(format!("the batch {id} was cancelled"))),
            "missing" => Err(Error::NotFound(id.to_string())),
            other => Err(unexpected(other)),
        }
    }

    /// Marks the end of a batch's input.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such batch.
    pub async fn seal_batch(&self, id: &BatchId, invalid: u64, duplicates: u64) -> Result<()> {
        let mut args = Args::of([&id.to_string()]);
        args.push(invalid).push(duplicates);
        match self.call::<String>(Script::BatchSeal, id.queue(), args).await?.as_str() {
            "sealed" => Ok(()),
            "missing" => Err(Error::NotFound(id.to_string())),
            other => Err(unexpected(other)),
        }
    }

    /// Reads one batch.
    pub async fn batch(&self, id: &BatchId) -> Result<Option<BatchReport>> {
        Ok(self.read_batches(id.queue(), Args::of(["", "", &id.to_string()])).await?.pop())
    }

    /// Returns up to `limit` (at most 200) batches of a queue, the latest first.
    pub async fn batches(&self, queue: &QueueName, offset: usize, limit: usize) -> Result<Vec<BatchReport>> {
        let mut args = Args::default();
        args.push(offset).push(limit.min(200));
        self.read_batches(queue, args).await
    }

    /// Reads the content shared by a batch's mails.
    pub async fn batch_content(&self, id: &BatchId) -> Result<Option<Mail>> {
        let key = self.keys.of_queue(id.queue(), &format!("c:{id}"));
        let json: Option<String> = self.run(redis::cmd("GET").arg(key)).await?;
        let read =
            |json: String| serde_json::from_str(&json).map_err(|error| Error::Protocol(format!("{id}: {error}")));
        json.map(read).transpose()
    }

    async fn read_batches(&self, queue: &QueueName, args: Args) -> Result<Vec<BatchReport>> {
        let paused = self.is_paused(queue).await?;
        let mut words = ReplyWords::new(self.call::<Vec<Value>>(Script::Batches, queue, args).await?);
        let now_ms: i64 = words.next()?;
        // One unreadable record must not hide the others.
        Ok(words.rest::<Fields>()?.iter().filter_map(|hash| report(hash, now_ms, paused).ok()).collect())
    }
}

/// Appends the spacing in microseconds (0: none) and whether only one mail is sent at a time.
fn push_pace(args: &mut Args, pace: Option<Pace>) {
    // A very small spacing must not be rounded to 0, which means none.
    let us = pace.map_or(0, |pace| pace.spacing().as_micros().max(1));
    args.push(us).push(u8::from(matches!(pace, Some(Pace::Delay(_)))));
}

fn report(hash: &Fields, now_ms: i64, queue_paused: bool) -> Result<BatchReport> {
    let number = |field: &str| hash.number::<u64>(field);
    let text = |field: &str| hash.get(field).cloned().unwrap_or_default();
    let time = |field: &str| hash.get(field).and_then(|value| value.parse::<i64>().ok());
    let id: BatchId = text("id").parse()?;
    let created_ms = time("created_ms").unwrap_or(now_ms);
    let mut report = BatchReport {
        queue: id.queue().clone(),
        id,
        name: text("name"),
        template: Some(text("template")).filter(|name| !name.is_empty()),
        created_at: rfc3339(created_ms),
        done_at: time("done_ms").map(rfc3339),
        total: number("total"),
        invalid: number("invalid"),
        duplicates: number("duplicates"),
        scheduled: number("scheduled"),
        queued: number("queued"),
        sending: number("sending"),
        deferred: number("deferred"),
        sent: number("sent"),
        failed: number("failed"),
        cancelled: number("cancelled"),
        unknown: number("unknown"),
        sealed: text("sealed") == "1",
        paused: queue_paused || hash.contains_key("paused_ms"),
        done: false,
        pace_us: Some(number("pace_us")).filter(|us| *us > 0),
        rate: 0.0,
        eta_s: None,
    };
    report.done = report.sealed && report.unfinished() == 0;
    let end_ms = time("done_ms").unwrap_or(now_ms);
    add_rate(&mut report, end_ms - created_ms);
    Ok(report)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of mails"
)]
fn add_rate(report: &mut BatchReport, ran_ms: i64) {
    let settled = report.sent + report.failed;
    let rate = if ran_ms > 0 { settled as f64 * 1_000.0 / ran_ms as f64 } else { 0.0 };
    report.rate = (rate * 100.0).round() / 100.0;
    // Jobs in doubt wait for a person and do not follow the rate.
    let left = report.unfinished() - report.unknown;
    let spacing_s = report.pace_us.map(|us| us as f64 / 1e6);
    let so_far_s = (rate > 0.0).then(|| 1.0 / rate);
    // The batch can't be faster than its pace. A lower rate so far counts too, since other limits
    // cause it.
    let seconds_each = spacing_s.into_iter().chain(so_far_s).fold(0.0, f64::max);
    if left > 0 && !report.paused && seconds_each > 0.0 {
        report.eta_s = Some((left as f64 * seconds_each).ceil() as u64);
    }
}

//! Settles claimed jobs: begin, finish, defer, renew. Each is one script call for many jobs.

use std::{
    borrow::Cow,
    fmt::{self, Write},
    time::Duration,
};

use crate::{
    AttemptRecord, Error, JobId, QueueName, RecipientReport, RecipientResult, Result, WorkerId,
    store::{
        connection::Store,
        script::{Args, Script, unexpected},
    },
    time::millis,
};

/// The begin of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// Id of the job.
    pub id: JobId,
    /// Fencing token of the job.
    pub fence: u64,
    /// Message-ID header of the mail.
    pub message_id: String,
    /// `Date` header of the mail (Unix milliseconds).
    pub date_ms: i64,
}

/// Reply to a begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeginReply {
    /// The mark is written. Send the mail.
    Begun,
    /// Another worker has the lease.
    Lost,
    /// The job was cancelled, expired or grew too old. Do not send it.
    Ended,
}

/// Final outcome of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Accepted by the next server.
    Sent,
    /// Refused permanently, or no attempts are left.
    Failed,
    /// In doubt. The job's policy decides.
    Unknown,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Reply to a finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReply {
    /// The outcome was recorded.
    Finished,
    /// The outcome was recorded although the lease had expired.
    Late,
    /// Another worker has sent the mail too. The history records both.
    Twice,
    /// The outcome was rejected because another worker has the job.
    Lost,
}

/// Reply to a defer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeferReply {
    /// The job is deferred.
    Deferred,
    /// The job is queued again.
    Queued,
    /// The job was cancelled or grew too old.
    Ended,
    /// The defer was rejected because another worker has the job.
    Lost,
}

/// Result of a try.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    /// Number of counted attempts, including this one if it counts.
    pub attempt: u32,
    /// Short code and message of the error, if any.
    pub error: Option<(String, String)>,
    /// Queue id or similar text from the next server.
    pub receipt: Option<String>,
    /// Results per recipient so far.
    pub recipients: Vec<RecipientReport>,
    /// Records of this try: one for each transport that was used. Empty if nothing was tried.
    pub records: Vec<AttemptRecord>,
}

/// The defer of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defer {
    /// Id of the job.
    pub id: JobId,
    /// Fencing token of the job.
    pub fence: u64,
    /// Delay until the next try. Zero queues the job again.
    pub delay: Duration,
    /// Result of the try.
    pub left: Settled,
}

/// A serialised outcome of a try, ready to be sent repeatedly.
#[derive(Debug, Clone)]
pub struct Finish(Args);

impl Finish {
    /// Serialises an outcome. `reason` is empty unless the job failed for a reason other than its
    /// error.
    pub fn new(id: &JobId, fence: u64, outcome: Outcome, reason: &str, left: &Settled) -> Result<Self> {
        let (code, message) = left.error.as_ref().map_or(("", ""), |(code, message)| (code, message));
        let mut args = Args::default();
        args.reserve(11, 256);
        args.push(id).push(fence).push(outcome.as_str()).push(reason).push(left.attempt);
        args.push(code).push(message).push(own_receipt(left));
        args.push(own_recipients(outcome, left)?).push(HistoryLines(&left.records)).push(record_ms(left));
        args.shrink();
        Ok(Self(args))
    }
}

impl Store {
    /// Marks jobs as begun, right before the bytes that commit each mail are sent.
    pub async fn begin(&self, queue: &QueueName, worker: &WorkerId, jobs: &[Begin]) -> Result<Vec<BeginReply>> {
        let mut args = Args::of([worker.as_str()]);
        for Begin { id, fence, message_id, date_ms } in jobs {
            args.push(id).push(fence).push(message_id).push(date_ms);
        }
        self.settle(Script::Begin, queue, args, jobs.len(), |word| {
            Ok(match word {
                "begun" => BeginReply::Begun,
                "lost" => BeginReply::Lost,
                "cancelled" | "expired" | "too_old" => BeginReply::Ended,
                other => return Err(unexpected(other)),
            })
        })
        .await
    }

    /// Records the outcomes of jobs.
    pub async fn finish<'a>(
        &self,
        queue: &QueueName,
        worker: &WorkerId,
        jobs: impl IntoIterator<Item = &'a Finish>,
    ) -> Result<Vec<FinishReply>> {
        let mut args = Args::of([worker.as_str()]);
        let jobs = jobs.into_iter().map(|Finish(job)| args.append(job)).count();
        self.settle(Script::Finish, queue, args, jobs, |word| {
            Ok(match word {
                "finished" => FinishReply::Finished,
                "late" => FinishReply::Late,
                "twice" => FinishReply::Twice,
                "lost" => FinishReply::Lost,
                other => return Err(unexpected(other)),
            })
        })
        .await
    }

    /// Defers jobs. A job with a zero delay is queued again immediately.
    pub async fn defer(&self, queue: &QueueName, worker: &WorkerId, jobs: &[Defer]) -> Result<Vec<DeferReply>> {
        let mut args = Args::of([worker.as_str()]);
        for Defer { id, fence, delay, left } in jobs {
            let (code, message) = left.error.clone().unwrap_or_default();
            args.push(id).push(fence).push(millis(*delay)).push(left.attempt).push(code).push(message);
            args.push(json(&left.recipients)?).push(HistoryLines(&left.records)).push(record_ms(left));
        }
        self.settle(Script::Defer, queue, args, jobs.len(), |word| {
            Ok(match word {
                "deferred" => DeferReply::Deferred,
                "queued" => DeferReply::Queued,
                "cancelled" | "expired" | "too_old" => DeferReply::Ended,
                "lost" => DeferReply::Lost,
                other => return Err(unexpected(other)),
            })
        })
        .await
    }

    /// Renews the leases of jobs. Returns the jobs that the worker has lost.
    pub async fn renew(&self, queue: &QueueName, worker: &WorkerId, jobs: &[(JobId, u64)]) -> Result<Vec<JobId>> {
        let mut args = Args::of([worker.as_str()]);
        for (id, fence) in jobs {
            args.push(id).push(fence);
        }
        let held = self.settle(Script::Renew, queue, args, jobs.len(), |word| Ok(word == "renewed")).await?;
        Ok(jobs.iter().zip(held).filter(|(_, held)| !held).map(|((id, _), _)| id.clone()).collect())
    }

    async fn settle<T>(
        &self,
        script: Script,
        queue: &QueueName,
        args: Args,
        asked: usize,
        read: impl Fn(&str) -> Result<T>,
    ) -> Result<Vec<T>> {
        let words: Vec<String> = self.call(script, queue, args).await?;
        if words.len() != asked {
            return Err(Error::Protocol(format!("{} replies for {asked} jobs", words.len())));
        }
        words.iter().map(|word| read(word)).collect()
    }
}

/// Stored form of the history.
struct HistoryLines<'a>(&'a [AttemptRecord]);

impl fmt::Display for HistoryLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(place, record)| {
            if place > 0 {
                f.write_char('\n')?;
            }
            record.fmt(f)
        })
    }
}

/// Returns the receipt if it differs from the one in the last record.
fn own_receipt(left: &Settled) -> &str {
    let recorded = left.records.last().and_then(AttemptRecord::receipt);
    left.receipt.as_deref().filter(|receipt| Some(*receipt) != recorded).unwrap_or_default()
}

/// Returns the results per recipient. The form is empty if a sent mail was accepted for all
/// recipients without comment.
fn own_recipients(outcome: Outcome, left: &Settled) -> Result<Cow<'static, str>> {
    let simply =
        |recipient: &RecipientReport| recipient.result == RecipientResult::Accepted && recipient.reply.is_none();
    if outcome == Outcome::Sent && left.recipients.iter().all(simply) {
        return Ok(Cow::Borrowed("[]"));
    }
    json(&left.recipients).map(Cow::Owned)
}

fn record_ms(left: &Settled) -> u64 {
    left.records.iter().map(|record| record.ms).sum()
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Protocol(error.to_string()))
}

//! Saying what becomes of claimed jobs: begin, finish, defer, renew. Each takes many at once: one script call.

use std::{
    borrow::Cow,
    fmt::{self, Write},
    time::Duration,
};

use super::{
    claim::WorkerId,
    connection::{Args, Store},
    enqueue::millis,
    reply::unexpected,
};
use crate::{AttemptRecord, Error, JobId, QueueName, RecipientReport, RecipientResult, Result};

/// The answer to a begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeginReply {
    /// Go on: the mark is written.
    Begun,
    /// The lease went to somebody else.
    Lost,
    /// Cancelled, expired or too old meanwhile: it may not be sent.
    Ended,
}

/// How a try settled its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Accepted by the next server.
    Sent,
    /// Refused for good, or its attempts are spent.
    Failed,
    /// It can't be known; the job's policy decides.
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

/// The answer to a finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReply {
    /// As said.
    Finished,
    /// Taken although the lease had run out.
    Late,
    /// Somebody else has sent it too; the story says so.
    Twice,
    /// Not taken: the job is no longer this worker's.
    Lost,
}

/// The answer to a defer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeferReply {
    /// It will be tried again at its time.
    Deferred,
    /// It may be claimed again at once.
    Queued,
    /// It was cancelled, or grew too old.
    Ended,
    /// The job is no longer this worker's.
    Lost,
}

/// What a try left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    /// Counted attempts, this one included if it counts.
    pub attempt: u32,
    /// The error, if it was one: a short code and words.
    pub error: Option<(String, String)>,
    /// What the server called the mail.
    pub receipt: Option<String>,
    /// What became of each recipient so far.
    pub recipients: Vec<RecipientReport>,
    /// The try itself, after those by transports that it was not sent by; none when nothing was tried.
    pub records: Vec<AttemptRecord>,
}

/// How a try ended its job, ready to be said as often as need be.
#[derive(Debug, Clone)]
pub struct Finish(Args);

impl Finish {
    /// `reason` is empty unless the job failed for another reason than its error.
    pub fn new(id: &JobId, fence: u64, outcome: Outcome, reason: &str, left: &Settled) -> Result<Self> {
        let (code, message) = left.error.as_ref().map_or(("", ""), |(code, message)| (code, message));
        let mut args = Args::default();
        args.reserve(11, 256);
        args.push(id).push(fence).push(outcome.as_str()).push(reason).push(left.attempt);
        args.push(code).push(message).push(own_receipt(left));
        args.push(own_recipients(outcome, left)?).push(Lines(&left.records)).push(record_ms(left));
        args.shrink();
        Ok(Self(args))
    }
}

impl Store {
    /// Marks that the committing bytes are about to be written. Each item: id, fence, Message-ID, Date.
    pub async fn begin(
        &self,
        queue: &QueueName,
        worker: &WorkerId,
        jobs: &[(JobId, u64, String, i64)],
    ) -> Result<Vec<BeginReply>> {
        let mut args = Args::of([worker.as_str()]);
        for (id, fence, message_id, date_ms) in jobs {
            args.push(id).push(fence).push(message_id).push(date_ms);
        }
        self.settle("begin", queue, args, jobs.len(), |word| {
            Ok(match word {
                "begun" => BeginReply::Begun,
                "lost" => BeginReply::Lost,
                "cancelled" | "expired" | "too_old" => BeginReply::Ended,
                other => return Err(unexpected(other)),
            })
        })
        .await
    }

    /// Settles jobs.
    pub async fn finish<'a>(
        &self,
        queue: &QueueName,
        worker: &WorkerId,
        jobs: impl IntoIterator<Item = &'a Finish>,
    ) -> Result<Vec<FinishReply>> {
        let mut args = Args::of([worker.as_str()]);
        let jobs = jobs.into_iter().map(|Finish(job)| args.append(job)).count();
        self.settle("finish", queue, args, jobs, |word| {
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

    /// Puts jobs back, to be tried again after the delay; at once when it is zero. Each item: id, fence, delay, what the try left.
    pub async fn defer(
        &self,
        queue: &QueueName,
        worker: &WorkerId,
        jobs: &[(JobId, u64, Duration, Settled)],
    ) -> Result<Vec<DeferReply>> {
        let mut args = Args::of([worker.as_str()]);
        for (id, fence, delay, left) in jobs {
            let (code, message) = left.error.clone().unwrap_or_default();
            args.push(id).push(fence).push(millis(*delay)).push(left.attempt).push(code).push(message);
            args.push(json(&left.recipients)?).push(Lines(&left.records)).push(record_ms(left));
        }
        self.settle("defer", queue, args, jobs.len(), |word| {
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

    /// Says that the worker still works on these jobs; answers which of them it has lost.
    pub async fn renew(&self, queue: &QueueName, worker: &WorkerId, jobs: &[(JobId, u64)]) -> Result<Vec<JobId>> {
        let mut args = Args::of([worker.as_str()]);
        for (id, fence) in jobs {
            args.push(id).push(fence);
        }
        let held = self.settle("renew", queue, args, jobs.len(), |word| Ok(word == "renewed")).await?;
        Ok(jobs.iter().zip(held).filter(|(_, held)| !held).map(|((id, _), _)| id.clone()).collect())
    }

    async fn settle<T>(
        &self,
        name: &'static str,
        queue: &QueueName,
        args: Args,
        asked: usize,
        read: impl Fn(&str) -> Result<T>,
    ) -> Result<Vec<T>> {
        let words: Vec<String> = self.call(name, queue, args).await?;
        if words.len() != asked {
            return Err(Error::Protocol(format!("{} answers to {asked} questions", words.len())));
        }
        words.iter().map(|word| read(word)).collect()
    }
}

/// A story as it is kept.
struct Lines<'a>(&'a [AttemptRecord]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(place, record)| {
            if place > 0 {
                f.write_char('\n')?;
            }
            record.fmt(f)
        })
    }
}

/// The receipt, where it is not what the story tells anyway.
fn own_receipt(left: &Settled) -> &str {
    let told = left.records.last().and_then(AttemptRecord::receipt);
    left.receipt.as_deref().filter(|receipt| Some(*receipt) != told).unwrap_or_default()
}

/// The recipients, where a sent mail was not simply accepted for all of them.
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

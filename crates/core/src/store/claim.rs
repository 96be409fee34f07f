//! Taking jobs.

use std::{fmt, sync::Arc, time::Duration};

use redis::Value;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{
    connection::{Args, Store},
    reply::{Words, unexpected},
};
use crate::{JobId, Mail, QueueName, RecipientReport, Result, payload, payload::Header};

/// One run of one worker process: never the same twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WorkerId(String);

impl WorkerId {
    /// A name that tells the host and is like no other.
    #[must_use]
    pub fn generate() -> Self {
        let host = gethostname::gethostname().to_string_lossy().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let unique = Ulid::generate().to_string();
        Self(format!("{host}-{}-{}", std::process::id(), &unique[18..]))
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One claim: said again with the same id, it gets the same jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimId(String);

impl ClaimId {
    /// A new claim.
    #[must_use]
    pub fn generate() -> Self {
        Self(format!("{:x}", fastrand::u64(..)))
    }
}

/// What a worker asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim<'a> {
    /// From where.
    pub queue: &'a QueueName,
    /// Who asks.
    pub worker: &'a WorkerId,
    /// Which claim it is.
    pub id: &'a ClaimId,
    /// How many jobs at most.
    pub want: usize,
}

/// How many jobs one script call looks at, so that none holds Redis up.
pub(super) const BUDGET: usize = 200;

/// A job under a lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// Which.
    pub id: JobId,
    /// What guards it: begin, finish, defer and renew are refused with any other.
    pub fence: u64,
    /// The stored form of it, to be given back to a Redis that has lost it.
    pub payload: Arc<str>,
    /// Its terms and its own content; `Err` tells why they can't be read.
    pub content: Result<(Header, Mail), String>,
    /// Counted attempts so far.
    pub attempt: u32,
    /// Tries so far, counted or not.
    pub tries: u32,
    /// The `Date` of its first begin.
    pub date_ms: Option<i64>,
    /// The `Message-ID` of its first begin.
    pub message_id: Option<String>,
    /// What became of its recipients so far; empty before the first attempt.
    pub recipients: Vec<RecipientReport>,
    /// Raised by a person's retry only.
    pub generation: u32,
}

/// What a claim would find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// Something waits; the most urgent of it has this priority.
    Waiting(u8),
    /// Nothing before that long, as far as is known.
    Nothing(Option<Duration>),
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimReply {
    /// Jobs, maybe none.
    Jobs {
        /// The jobs.
        jobs: Vec<Claimed>,
        /// Whether more wait right now.
        more: bool,
        /// When the next waiting job is due, by Redis's clock.
        next_due_ms: Option<i64>,
        /// Redis's clock.
        now_ms: i64,
    },
    /// The queue is paused.
    Paused,
    /// Redis was restarted: for so long other workers may say what they know of the queue's jobs.
    Wait(Duration),
    /// The next job speaks a newer protocol: upgrade this worker.
    Newer(u32),
}

impl ClaimReply {
    /// How many jobs were handed out.
    #[must_use]
    pub fn jobs(&self) -> usize {
        match self {
            Self::Jobs { jobs, .. } => jobs.len(),
            Self::Paused | Self::Wait(_) | Self::Newer(_) => 0,
        }
    }
}

impl Store {
    /// Looks what a claim would find.
    pub async fn peek(&self, queue: &QueueName) -> Result<Peek> {
        let mut args = Args::default();
        args.push(BUDGET / 2);
        let mut reply = Words::new(self.call("peek", queue, args).await?);
        match reply.next::<String>()?.as_str() {
            "waiting" => Ok(Peek::Waiting(reply.next()?)),
            "none" => {
                let (due, now): (i64, i64) = (reply.next()?, reply.next()?);
                let wait = || Duration::from_millis(u64::try_from(due - now).unwrap_or(0).max(1));
                Ok(Peek::Nothing((due > 0).then(wait)))
            }
            other => Err(unexpected(other)),
        }
    }

    /// Takes up to `want` jobs.
    pub async fn claim(&self, claim: &Claim<'_>) -> Result<ClaimReply> {
        let mut args = Args::of([claim.worker.as_str(), &claim.id.0]);
        args.push(claim.want).push(BUDGET);
        let mut reply = Words::new(self.call("claim", claim.queue, args).await?);
        match reply.next::<String>()?.as_str() {
            "claimed" => {
                let more = reply.next::<u8>()? == 1;
                let next_due_ms = Some(reply.next::<i64>()?).filter(|ms| *ms > 0);
                let now_ms = reply.next()?;
                // One that can't be told apart must not keep the others from being sent; its lease runs out.
                let readable =
                    |values| claimed(values).inspect_err(|error| tracing::error!("a claimed job: {error}")).ok();
                let jobs = reply.rest::<Vec<Value>>()?.into_iter().filter_map(readable).collect();
                Ok(ClaimReply::Jobs { jobs, more, next_due_ms, now_ms })
            }
            "paused" => Ok(ClaimReply::Paused),
            "wait" => Ok(ClaimReply::Wait(Duration::from_millis(reply.next()?))),
            "newer" => Ok(ClaimReply::Newer(reply.next()?)),
            other => Err(unexpected(other)),
        }
    }
}

fn claimed(values: Vec<Value>) -> Result<Claimed> {
    let mut words = Words::new(values);
    let (id, fence) = (words.next::<String>()?.parse()?, words.next()?);
    let payload: Arc<str> = String::from_utf8_lossy(&words.next::<Vec<u8>>()?).into();
    Ok(Claimed {
        id,
        fence,
        content: payload::decode(&payload),
        payload,
        attempt: words.next()?,
        tries: words.next()?,
        date_ms: words.next::<String>()?.parse().ok(),
        message_id: Some(words.next::<String>()?).filter(|id| !id.is_empty()),
        recipients: serde_json::from_str(&words.next::<String>()?).unwrap_or_default(),
        generation: words.next()?,
    })
}

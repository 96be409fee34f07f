//! Taking jobs.

use std::{fmt, sync::Arc, time::Duration};

use redis::Value;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{
    connection::{Args, Store},
    limits::LimitName,
    reply::{Text, Words, unexpected},
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
    /// How many of them may be less urgent than [`Priority::LAST_URGENT`](crate::Priority::LAST_URGENT).
    pub ordinary: usize,
    /// The limits on domains and templates that are in force: what is under them waits in a line for its leave.
    pub limited: &'a [LimitName],
    /// What was asked for the lines that a look has found.
    pub turns: &'a [Turn],
}

impl<'a> Claim<'a> {
    /// A claim of up to `want` jobs, where there are no limits.
    #[must_use]
    pub fn new(queue: &'a QueueName, worker: &'a WorkerId, id: &'a ClaimId, want: usize) -> Self {
        Self { queue, worker, id, want, ordinary: want, limited: &[], turns: &[] }
    }

    fn args(&self) -> Args {
        let mut args = Args::of([self.worker.as_str(), &self.id.0]);
        args.push(self.want).push(self.ordinary).push(BUDGET).push(self.limited.len());
        for limit in self.limited {
            args.push(limit);
        }
        for turn in self.turns {
            args.push(&turn.line).push(turn.mails).push(turn.again_in.as_millis());
        }
        args
    }
}

/// Mail that waits for leave under limits on its domain or template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitedLine {
    /// Its name.
    pub name: String,
    /// The limits that it is under.
    pub limits: Vec<LimitName>,
    /// The priority of the most urgent in it.
    pub priority: u8,
}

/// How many of a line may go now; where none may, when it is worth asking again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The line's name.
    pub line: String,
    /// How many.
    pub mails: usize,
    /// How long to leave it alone.
    pub again_in: Duration,
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
    /// The line whose leave it uses.
    pub line: Option<String>,
}

/// What a claim would find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peek {
    /// Something waits.
    Waiting {
        /// The priority of the most urgent that needs no leave of its own.
        free: Option<u8>,
        /// What needs leave, and may ask for it.
        lines: Vec<LimitedLine>,
    },
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
        /// The priority of the most urgent of those that wait right now.
        left: Option<u8>,
        /// When the next waiting job is due, by Redis's clock.
        next_due_ms: Option<i64>,
        /// Redis's clock.
        now_ms: i64,
    },
    /// The queue is paused.
    Paused,
    /// Redis was restarted: for so long other workers may say what they know of the queue's jobs.
    Wait(Duration),
    /// The next jobs were written by a newer protocol version: this worker can't serve the queue until it is upgraded.
    Newer {
        /// That version.
        version: u32,
        /// The id of the first of them.
        job: String,
    },
}

impl ClaimReply {
    /// How many jobs were handed out.
    #[must_use]
    pub fn jobs(&self) -> usize {
        match self {
            Self::Jobs { jobs, .. } => jobs.len(),
            Self::Paused | Self::Wait(_) | Self::Newer { .. } => 0,
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
            "waiting" => {
                let free = u8::try_from(reply.next::<i16>()?).ok();
                let words: Vec<String> = reply.rest()?;
                let lines = words.chunks_exact(2).map(|pair| line(&pair[0], &pair[1])).collect::<Result<_>>()?;
                Ok(Peek::Waiting { free, lines })
            }
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
        let mut reply = Words::new(self.call("claim", claim.queue, claim.args()).await?);
        match reply.next::<String>()?.as_str() {
            "claimed" => {
                let left = u8::try_from(reply.next::<i16>()?).ok();
                let next_due_ms = Some(reply.next::<i64>()?).filter(|ms| *ms > 0);
                let now_ms = reply.next()?;
                // One that can't be told apart must not keep the others from being sent; its lease runs out.
                let readable =
                    |values| claimed(values).inspect_err(|error| tracing::error!("a claimed job: {error}")).ok();
                let jobs = reply.rest::<Vec<Value>>()?.into_iter().filter_map(readable).collect();
                Ok(ClaimReply::Jobs { jobs, left, next_due_ms, now_ms })
            }
            "paused" => Ok(ClaimReply::Paused),
            "wait" => Ok(ClaimReply::Wait(Duration::from_millis(reply.next()?))),
            "newer" => Ok(ClaimReply::Newer { version: reply.next()?, job: reply.next::<Text>()?.0 }),
            other => Err(unexpected(other)),
        }
    }
}

fn claimed(values: Vec<Value>) -> Result<Claimed> {
    let mut words = Words::new(values);
    let (id, fence) = (words.next::<String>()?.parse()?, words.next()?);
    let payload: Arc<str> = String::from_utf8_lossy(&words.next::<Vec<u8>>()?).into();
    let fresh = Claimed {
        id,
        fence,
        content: payload::decode(&payload),
        payload,
        attempt: 0,
        tries: 0,
        date_ms: None,
        message_id: None,
        recipients: Vec::new(),
        generation: 0,
        line: None,
    };
    if words.are_over() {
        return Ok(fresh);
    }
    let (attempt, tries) = (words.next()?, words.next()?);
    let date_ms = words.next::<Text>()?.0.parse().ok();
    let message_id = Some(words.next::<Text>()?.0).filter(|id| !id.is_empty());
    let recipients = recipients(&words.next::<Text>()?.0);
    Ok(Claimed {
        attempt,
        tries,
        date_ms,
        message_id,
        recipients: recipients.clone().unwrap_or_default(),
        generation: words.next()?,
        line: Some(words.next::<String>()?).filter(|line| !line.is_empty()),
        // Without knowing who has accepted it, it must not be sent again.
        content: recipients.and(fresh.content),
        ..fresh
    })
}

fn recipients(stored: &str) -> Result<Vec<RecipientReport>, String> {
    if stored.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(stored).map_err(|error| format!("its recipients can't be read: {error}"))
}

/// A name that a newer version has written is under no limit that this one knows.
fn line(name: &str, priority: &str) -> Result<LimitedLine> {
    let limits = name.split(' ').filter_map(|limit| limit.parse().ok()).collect();
    Ok(LimitedLine { name: name.to_owned(), limits, priority: priority.parse().map_err(|_| unexpected(priority))? })
}

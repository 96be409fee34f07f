//! Claims: a worker takes jobs under a lease.

use std::{sync::Arc, time::Duration};

use redis::Value;

use crate::{
    JobId, LimitName, Mail, QueueName, RecipientReport, Result, WorkerId, payload,
    payload::Header,
    store::{
        connection::Store,
        script::{Args, BUDGET, LossyText, ReplyWords, Script, unexpected},
    },
};

/// Id of one claim. Repeating a claim under the same id returns the same jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimId(String);

impl ClaimId {
    /// Returns a new random id.
    #[must_use]
    pub fn generate() -> Self {
        Self(format!("{:x}", fastrand::u64(..)))
    }
}

/// Parameters of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Queue to claim from.
    pub queue: &'a QueueName,
    /// Worker that claims.
    pub worker: &'a WorkerId,
    /// Id of this claim.
    pub id: &'a ClaimId,
    /// Maximum number of jobs.
    pub want: usize,
    /// Maximum number of jobs less urgent than
    /// [`Priority::LAST_URGENT`](crate::Priority::LAST_URGENT).
    pub ordinary: usize,
    /// Domain and template limits in force. Mail under them waits in lines for a grant.
    pub limited: &'a [LimitName],
    /// Grants for the lines returned by [`Store::peek`].
    pub grants: &'a [LineGrant],
}

impl<'a> Claim<'a> {
    /// Creates a claim of up to `want` jobs without limits.
    #[must_use]
    pub fn new(queue: &'a QueueName, worker: &'a WorkerId, id: &'a ClaimId, want: usize) -> Self {
        Self { queue, worker, id, want, ordinary: want, limited: &[], grants: &[] }
    }

    fn args(&self) -> Args {
        let mut args = Args::of([self.worker.as_str(), &self.id.0]);
        args.push(self.want).push(self.ordinary).push(BUDGET).push(self.limited.len());
        for limit in self.limited {
            args.push(limit);
        }
        for grant in self.grants {
            args.push(&grant.line).push(grant.mails).push(grant.retry_in.as_millis());
        }
        args
    }
}

/// A line: queued mail under the same domain and template limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitedLine {
    /// Name of the line: its limits separated by spaces.
    pub name: String,
    /// Limits on this mail.
    pub limits: Vec<LimitName>,
    /// Priority of the most urgent mail in the line.
    pub priority: u8,
}

/// Number of mails of one line that may be claimed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineGrant {
    /// Name of the line.
    pub line: String,
    /// Maximum number of mails.
    pub mails: usize,
    /// Time for which the line is skipped if no mail may be claimed.
    pub retry_in: Duration,
}

/// A job under a lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// Id of the job.
    pub id: JobId,
    /// Fencing token. Begin, finish, defer and renew are rejected under any other token.
    pub fence: u64,
    /// Stored form of the job, used to restore it if Redis loses it.
    pub payload: Arc<str>,
    /// Terms and content of the job, or the reason why they can't be read.
    pub content: Result<(Header, Mail), String>,
    /// Number of counted attempts so far.
    pub attempt: u32,
    /// Number of all tries so far, counted or not.
    pub tries: u32,
    /// `Date` header of the first begin (Unix milliseconds).
    pub date_ms: Option<i64>,
    /// `Message-ID` header of the first begin.
    pub message_id: Option<String>,
    /// Results per recipient so far; empty before the first attempt.
    pub recipients: Vec<RecipientReport>,
    /// Number of retries by a person.
    pub generation: u32,
    /// Line whose grant the job uses.
    pub line: Option<String>,
}

/// Reply to a peek.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peek {
    /// Jobs can be claimed.
    Waiting {
        /// Priority of the most urgent job that needs no line grant.
        free: Option<u8>,
        /// Lines that may request a grant now.
        lines: Vec<LimitedLine>,
    },
    /// No job can be claimed. The next known job is due after this time.
    Nothing(Option<Duration>),
}

/// Reply to a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimReply {
    /// Claimed jobs, possibly none.
    Jobs {
        /// The claimed jobs.
        jobs: Vec<Claimed>,
        /// Priority of the most urgent job that is still queued.
        left: Option<u8>,
        /// Time at which the next waiting job is due (Unix milliseconds, Redis's clock).
        next_due_ms: Option<i64>,
        /// Current time of Redis (Unix milliseconds).
        now_ms: i64,
    },
    /// The queue is paused.
    Paused,
    /// Redis was restarted. Claims wait this long for the other workers to resync.
    Wait(Duration),
    /// The next jobs were written by a newer protocol version. This worker must be upgraded to
    /// serve the queue.
    Newer {
        /// Protocol version of these jobs.
        version: u32,
        /// Id of the first of these jobs.
        job: String,
    },
}

impl ClaimReply {
    /// Returns the number of claimed jobs.
    #[must_use]
    pub fn jobs(&self) -> usize {
        match self {
            Self::Jobs { jobs, .. } => jobs.len(),
            Self::Paused | Self::Wait(_) | Self::Newer { .. } => 0,
        }
    }
}

impl Store {
    /// Returns what a claim would find, without claiming.
    pub async fn peek(&self, queue: &QueueName) -> Result<Peek> {
        let mut args = Args::default();
        args.push(BUDGET / 2);
        let mut reply = ReplyWords::new(self.call(Script::Peek, queue, args).await?);
        match reply.next::<String>()?.as_str() {
            "waiting" => {
                let free = u8::try_from(reply.next::<i16>()?).ok();
                let words: Vec<String> = reply.rest()?;
                let lines = words.chunks_exact(2).map(|pair| parse_line(&pair[0], &pair[1])).collect::<Result<_>>()?;
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

    /// Claims up to `want` jobs.
    pub async fn claim(&self, claim: &Claim<'_>) -> Result<ClaimReply> {
        let mut reply = ReplyWords::new(self.call(Script::Claim, claim.queue, claim.args()).await?);
        match reply.next::<String>()?.as_str() {
            "claimed" => {
                let left = u8::try_from(reply.next::<i16>()?).ok();
                let next_due_ms = Some(reply.next::<i64>()?).filter(|ms| *ms > 0);
                let now_ms = reply.next()?;
                // One unreadable job must not block the others. Its lease expires.
                let readable = |values| {
                    parse_job(values)
                        .inspect_err(|error| tracing::error!("a claimed job can't be read and is skipped: {error}"))
                        .ok()
                };
                let jobs = reply.rest::<Vec<Value>>()?.into_iter().filter_map(readable).collect();
                Ok(ClaimReply::Jobs { jobs, left, next_due_ms, now_ms })
            }
            "paused" => Ok(ClaimReply::Paused),
            "wait" => Ok(ClaimReply::Wait(Duration::from_millis(reply.next()?))),
            "newer" => Ok(ClaimReply::Newer { version: reply.next()?, job: reply.next::<LossyText>()?.0 }),
            other => Err(unexpected(other)),
        }
    }
}

fn parse_job(values: Vec<Value>) -> Result<Claimed> {
    let mut words = ReplyWords::new(values);
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
    if words.is_empty() {
        return Ok(fresh);
    }
    let (attempt, tries) = (words.next()?, words.next()?);
    let date_ms = words.next::<LossyText>()?.0.parse().ok();
    let message_id = Some(words.next::<LossyText>()?.0).filter(|id| !id.is_empty());
    let recipients = recipients(&words.next::<LossyText>()?.0);
    Ok(Claimed {
        attempt,
        tries,
        date_ms,
        message_id,
        recipients: recipients.clone().unwrap_or_default(),
        generation: words.next()?,
        line: Some(words.next::<String>()?).filter(|line| !line.is_empty()),
        // Without the results per recipient, the mail could be sent twice to those who accepted it.
        content: recipients.and(fresh.content),
        ..fresh
    })
}

fn recipients(stored: &str) -> Result<Vec<RecipientReport>, String> {
    if stored.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(stored).map_err(|error| format!("the results per recipient can't be read: {error}"))
}

/// Limits of newer versions are unknown here and ignored.
fn parse_line(name: &str, priority: &str) -> Result<LimitedLine> {
    let limits = name.split(' ').filter_map(|limit| limit.parse().ok()).collect();
    Ok(LimitedLine { name: name.to_owned(), limits, priority: priority.parse().map_err(|_| unexpected(priority))? })
}

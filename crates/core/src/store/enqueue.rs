//! Enqueues jobs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    connection::{Args, Store},
    reply::{ReplyWords, unexpected},
};
use crate::{
    Backoff, BatchId, Content, ContentHash, Error, InvalidInput, JobId, Mail, Policy, Priority, QueueName, Result,
    payload,
};

/// Time at which a job is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Due {
    /// Immediately.
    #[default]
    Now,
    /// After this delay, by Redis's clock.
    In(Duration),
    /// At this time (Unix milliseconds).
    At(i64),
}

/// Time at which a job expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// After this time since enqueueing.
    In(Duration),
    /// At this time (Unix milliseconds).
    At(i64),
}

/// Terms of one job or of all jobs of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTerms {
    /// Priority.
    pub priority: Priority,
    /// Time at which the jobs are due.
    pub due: Due,
    /// Time at which the jobs expire, if any.
    pub expires: Option<Expiry>,
    /// Attempts, backoff, lease, age, retention, and what to do in doubt.
    pub policy: Policy,
    /// Whether the variables are never shown and are removed when the job ends.
    pub sensitive: bool,
}

/// One job to enqueue.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Id of the job.
    pub id: JobId,
    /// Content of the job.
    pub mail: Mail,
}

/// A job in its serialised form.
#[derive(Debug)]
pub struct PackedJob {
    /// Job id, followed by the hashes of the contents that the job uses.
    told: String,
    content: String,
    /// Contents stored apart from the job.
    contents: Vec<Content>,
}

impl PackedJob {
    /// Serialises a mail for these terms. A sensitive mail has another form, so the terms must
    /// match.
    pub fn new(id: &JobId, mail: &Mail, terms: &JobTerms) -> Result<Self> {
        let contents: Vec<Content> = mail.large_contents().cloned().collect();
        let hashes: BTreeSet<ContentHash> = contents.iter().map(Content::hash).collect();
        let mut told = id.to_string();
        hashes.iter().for_each(|hash| told.extend([" ", &hash.to_string()]));
        Ok(Self { told, content: payload::encode_content(mail, terms.sensitive)?, contents })
    }
}

/// Result of an enqueue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// Number of new jobs.
    pub added: u64,
    /// Number of jobs that already existed; they are left unchanged.
    pub known: u64,
    /// Time at which the jobs are due (Unix milliseconds).
    pub due_ms: i64,
}

/// An enqueue of jobs of one queue under the same terms, serialised and ready to be sent
/// repeatedly.
#[derive(Debug, Clone)]
pub struct Parcel {
    queue: QueueName,
    args: Args,
    /// Contents stored apart from the jobs.
    contents: BTreeMap<ContentHash, Content>,
}

impl Parcel {
    /// Serialises the jobs.
    pub fn new(queue: &QueueName, batch: Option<&BatchId>, terms: &JobTerms, jobs: &[NewJob]) -> Result<Self> {
        let pack = |job: &NewJob| PackedJob::new(&job.id, &job.mail, terms);
        Ok(Self::of(queue, batch, terms, jobs.iter().map(pack).collect::<Result<_>>()?))
    }

    /// Combines jobs serialised for the same terms.
    #[must_use]
    pub fn of(queue: &QueueName, batch: Option<&BatchId>, terms: &JobTerms, jobs: Vec<PackedJob>) -> Self {
        let mut args = terms_args(terms, batch);
        args.reserve(2 * jobs.len(), jobs.iter().map(|job| job.told.len() + job.content.len()).sum());
        let mut contents = BTreeMap::new();
        for job in jobs {
            args.push_bytes(job.told.as_bytes()).push_bytes(job.content.as_bytes());
            contents.extend(job.contents.into_iter().map(|content| (content.hash(), content)));
        }
        Self { queue: queue.clone(), args, contents }
    }

    /// Approximate size in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.args.bytes() + self.contents.values().map(Content::size).sum::<usize>()
    }
}

impl Store {
    /// Enqueues jobs of one queue under the same terms. Existing ids are left unchanged, so a retry
    /// is safe.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the batch was cancelled or sealed, [`Error::NotFound`] if there is no
    /// such batch.
    pub async fn enqueue(
        &self,
        queue: &QueueName,
        batch: Option<&BatchId>,
        terms: &JobTerms,
        jobs: &[NewJob],
    ) -> Result<Enqueued> {
        self.put_in(&Parcel::new(queue, batch, terms, jobs)?).await
    }

    /// Sends a prepared request. A retry is safe.
    ///
    /// # Errors
    /// As for [`Store::enqueue`].
    pub async fn put_in(&self, parcel: &Parcel) -> Result<Enqueued> {
        for _ in 0..MOST_WISHES {
            match self.try_put_in(parcel).await? {
                PutIn::Done(enqueued) => return Ok(enqueued),
                PutIn::Wants(hashes) => self.bring(parcel, &hashes).await?,
            }
        }
        Err(Error::Protocol("Redis removes contents before their jobs are enqueued".to_owned()))
    }

    async fn bring(&self, parcel: &Parcel, hashes: &[ContentHash]) -> Result<()> {
        let at_hand = |hash: &ContentHash| {
            let content = parcel.contents.get(hash).filter(|content| content.is_at_hand());
            content.ok_or_else(|| InvalidInput::new("mail", format!("its content {hash} is not in memory")))
        };
        let contents: Vec<&Content> = hashes.iter().map(at_hand).collect::<Result<_, _>>()?;
        self.keep_contents(&parcel.queue, &contents).await
    }

    async fn try_put_in(&self, parcel: &Parcel) -> Result<PutIn> {
        let base = self.keys.queue(&parcel.queue);
        let mut reply = ReplyWords::new(self.invoke("enqueue", base, &parcel.args).await?);
        match reply.next::<String>()?.as_str() {
            "enqueued" => {
                Ok(PutIn::Done(Enqueued { added: reply.next()?, known: reply.next()?, due_ms: reply.next()? }))
            }
            "wants" => {
                let hashes = reply.rest::<String>()?;
                Ok(PutIn::Wants(hashes.iter().map(|hash| hash.parse()).collect::<Result<_, _>>()?))
            }
            "cancelled" => Err(Error::Conflict("the batch was cancelled".to_owned())),
            "sealed" => Err(Error::Conflict("the batch is sealed: its input has ended".to_owned())),
            "missing" => Err(Error::NotFound("the batch".to_owned())),
            "bad_id" => Err(Error::Protocol(format!("{:?} is not a job id", reply.next::<String>()?))),
            other => Err(unexpected(other)),
        }
    }
}

/// Reply of the script `enqueue`.
enum PutIn {
    Done(Enqueued),
    /// Contents that Redis does not have.
    Wants(Vec<ContentHash>),
}

/// Maximum number of calls for one request. A content stored for an earlier call may have been
/// removed meanwhile.
const MOST_WISHES: usize = 4;

fn terms_args(terms: &JobTerms, batch: Option<&BatchId>) -> Args {
    let (delay_ms, at_ms) = match terms.due {
        Due::Now => (0, 0),
        Due::In(delay) => (millis(delay), 0),
        // 0 means "not given".
        Due::At(ms) => (0, ms.max(1)),
    };
    let (expires_in_ms, expires_at_ms) = match terms.expires {
        None => (0, 0),
        Some(Expiry::In(span)) => (millis(span).max(1), 0),
        Some(Expiry::At(ms)) => (0, ms.max(1)),
    };
    let policy = &terms.policy;
    let (base, max) = match policy.backoff {
        Backoff::Fixed(delay) => (delay, Duration::ZERO),
        Backoff::Exponential { base, max } => (base, max.max(Duration::from_millis(1))),
    };
    let mut args = Args::default();
    args.push(terms.priority).push(delay_ms).push(at_ms).push(expires_in_ms).push(expires_at_ms);
    args.push(millis(policy.max_age)).push(policy.attempts).push(millis(policy.lease)).push(policy.on_unknown.as_str());
    args.push(policy.retention.map_or(0, |keep| millis(keep).max(1))).push(millis(base)).push(millis(max));
    args.push(batch.map_or_else(|| "-".to_owned(), ToString::to_string));
    args.push(if terms.sensitive { "sensitive" } else { "-" });
    args
}

pub(super) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

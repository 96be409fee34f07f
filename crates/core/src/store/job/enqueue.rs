//! Enqueues jobs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    Backoff, BatchId, Content, ContentHash, Error, InvalidInput, JobId, Mail, Policy, Priority, QueueName, Result,
    payload,
    store::{
        connection::Store,
        script::{Args, ReplyWords, Script, unexpected},
    },
    time::millis,
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
    id_and_hashes: String,
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
        let mut id_and_hashes = id.to_string();
        hashes.iter().for_each(|hash| id_and_hashes.extend([" ", &hash.to_string()]));
        Ok(Self { id_and_hashes, content: payload::encode_content(mail, terms.sensitive)?, contents })
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
pub struct EnqueueRequest {
    queue: QueueName,
    args: Args,
    /// Contents stored apart from the jobs.
    contents: BTreeMap<ContentHash, Content>,
}

impl EnqueueRequest {
    /// Serialises the jobs.
    pub fn new(queue: &QueueName, batch: Option<&BatchId>, terms: &JobTerms, jobs: &[NewJob]) -> Result<Self> {
        let pack = |job: &NewJob| PackedJob::new(&job.id, &job.mail, terms);
        Ok(Self::of_packed(queue, batch, terms, jobs.iter().map(pack).collect::<Result<_>>()?))
    }

    /// Combines jobs serialised for the same terms.
    #[must_use]
    pub fn of_packed(queue: &QueueName, batch: Option<&BatchId>, terms: &JobTerms, jobs: Vec<PackedJob>) -> Self {
        let mut args = terms_args(terms, batch);
        args.reserve(2 * jobs.len(), jobs.iter().map(|job| job.id_and_hashes.len() + job.content.len()).sum());
        let mut contents = BTreeMap::new();
        for job in jobs {
            args.push_bytes(job.id_and_hashes.as_bytes()).push_bytes(job.content.as_bytes());
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
        self.enqueue_request(&EnqueueRequest::new(queue, batch, terms, jobs)?).await
    }

    /// Sends a prepared request. A retry is safe.
    ///
    /// # Errors
    /// As for [`Store::enqueue`].
    pub async fn enqueue_request(&self, request: &EnqueueRequest) -> Result<Enqueued> {
        for _ in 0..MAX_TRIES {
            match self.try_enqueue(request).await? {
                EnqueueReply::Done(enqueued) => return Ok(enqueued),
                EnqueueReply::Wants(hashes) => self.store_contents(request, &hashes).await?,
            }
        }
        Err(Error::Protocol("Redis removes contents before their jobs are enqueued".to_owned()))
    }

    async fn store_contents(&self, request: &EnqueueRequest, hashes: &[ContentHash]) -> Result<()> {
        let in_memory = |hash: &ContentHash| {
            let content = request.contents.get(hash).filter(|content| content.is_inline());
            content.ok_or_else(|| InvalidInput::new("mail", format!("its content {hash} is not in memory")))
        };
        let contents: Vec<&Content> = hashes.iter().map(in_memory).collect::<Result<_, _>>()?;
        self.keep_contents(&request.queue, &contents).await
    }

    async fn try_enqueue(&self, request: &EnqueueRequest) -> Result<EnqueueReply> {
        let base = self.keys.queue(&request.queue);
        let mut reply = ReplyWords::new(self.invoke(Script::Enqueue, base, &request.args).await?);
        match reply.next::<String>()?.as_str() {
            "enqueued" => {
                Ok(EnqueueReply::Done(Enqueued { added: reply.next()?, known: reply.next()?, due_ms: reply.next()? }))
            }
            "wants" => {
                let hashes = reply.rest::<String>()?;
                Ok(EnqueueReply::Wants(hashes.iter().map(|hash| hash.parse()).collect::<Result<_, _>>()?))
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
enum EnqueueReply {
    Done(Enqueued),
    /// Contents that Redis does not have.
    Wants(Vec<ContentHash>),
}

/// Maximum number of calls for one request. A content stored for an earlier call may have been
/// removed meanwhile.
const MAX_TRIES: usize = 4;

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

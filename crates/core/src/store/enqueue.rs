//! Handing jobs over.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    connection::{Args, Store},
    reply::{Words, unexpected},
};
use crate::{
    Backoff, BatchId, Content, ContentHash, Error, InvalidInput, JobId, Mail, Policy, Priority, QueueName, Result,
    payload,
};

/// When a job is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Due {
    /// At once.
    #[default]
    Now,
    /// After that long, by Redis's clock.
    In(Duration),
    /// At that time (Unix milliseconds).
    At(i64),
}

/// When a job becomes worthless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// That long after it was handed over.
    In(Duration),
    /// At that time (Unix milliseconds).
    At(i64),
}

/// What one job, or all jobs of a batch, are handed over with beside their content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTerms {
    /// How urgent.
    pub priority: Priority,
    /// When.
    pub due: Due,
    /// Until when.
    pub expires: Option<Expiry>,
    /// The promises.
    pub policy: Policy,
    /// Whether the variables are never shown and dropped at the end.
    pub sensitive: bool,
}

/// One job to hand over.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Its name.
    pub id: JobId,
    /// Its content.
    pub mail: Mail,
}

/// A job in the form in which it is handed over.
#[derive(Debug)]
pub struct PackedJob {
    /// The id, and the hashes of the contents that it needs.
    told: String,
    content: String,
    /// What is kept apart from it.
    contents: Vec<Content>,
}

impl PackedJob {
    /// Packs a mail under its id, for these terms alone: what is sensitive is packed apart.
    pub fn new(id: &JobId, mail: &Mail, terms: &JobTerms) -> Result<Self> {
        let contents: Vec<Content> = mail.large_contents().cloned().collect();
        let hashes: BTreeSet<ContentHash> = contents.iter().map(Content::hash).collect();
        let mut told = id.to_string();
        hashes.iter().for_each(|hash| told.extend([" ", &hash.to_string()]));
        Ok(Self { told, content: payload::encode_content(mail, terms.sensitive)?, contents })
    }
}

/// What became of the handing over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// How many were new.
    pub added: u64,
    /// How many were known already and left as they were.
    pub known: u64,
    /// When they are due (Unix milliseconds).
    pub due_ms: i64,
}

/// Jobs of one queue under the same terms, made ready to be handed over, as often as need be.
#[derive(Debug, Clone)]
pub struct Parcel {
    queue: QueueName,
    args: Args,
    /// What is kept apart from the jobs.
    contents: BTreeMap<ContentHash, Content>,
}

impl Parcel {
    /// Makes jobs ready.
    pub fn new(queue: &QueueName, batch: Option<&BatchId>, terms: &JobTerms, jobs: &[NewJob]) -> Result<Self> {
        let pack = |job: &NewJob| PackedJob::new(&job.id, &job.mail, terms);
        Ok(Self::of(queue, batch, terms, jobs.iter().map(pack).collect::<Result<_>>()?))
    }

    /// Puts jobs together that were packed for these terms.
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

    /// How much memory it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.args.bytes() + self.contents.values().map(Content::size).sum::<usize>()
    }
}

impl Store {
    /// Hands over jobs of one queue under the same terms. An id that is known is left as it is, so saying it again is safe.
    pub async fn enqueue(
        &self,
        queue: &QueueName,
        batch: Option<&BatchId>,
        terms: &JobTerms,
        jobs: &[NewJob],
    ) -> Result<Enqueued> {
        self.put_in(&Parcel::new(queue, batch, terms, jobs)?).await
    }

    /// Hands over what was made ready. As safe to say again.
    pub async fn put_in(&self, parcel: &Parcel) -> Result<Enqueued> {
        for _ in 0..MOST_WISHES {
            match self.try_put_in(parcel).await? {
                PutIn::Done(enqueued) => return Ok(enqueued),
                PutIn::Wants(hashes) => self.bring(parcel, &hashes).await?,
            }
        }
        Err(Error::Protocol("contents are not kept".to_owned()))
    }

    async fn bring(&self, parcel: &Parcel, hashes: &[ContentHash]) -> Result<()> {
        let at_hand = |hash: &ContentHash| {
            let content = parcel.contents.get(hash).filter(|content| content.is_inline());
            content.ok_or_else(|| InvalidInput::new("mail", format!("its content {hash} is not at hand")))
        };
        let contents: Vec<&Content> = hashes.iter().map(at_hand).collect::<Result<_, _>>()?;
        self.keep_contents(&parcel.queue, &contents).await
    }

    async fn try_put_in(&self, parcel: &Parcel) -> Result<PutIn> {
        let base = self.keys.queue(&parcel.queue);
        let mut reply = Words::new(self.invoke("enqueue", base, &parcel.args).await?);
        match reply.next::<String>()?.as_str() {
            "enqueued" => {
                Ok(PutIn::Done(Enqueued { added: reply.next()?, known: reply.next()?, due_ms: reply.next()? }))
            }
            "wants" => {
                let hashes = reply.rest::<String>()?;
                Ok(PutIn::Wants(hashes.iter().map(|hash| hash.parse()).collect::<Result<_, _>>()?))
            }
            "cancelled" => Err(Error::Conflict("the batch was cancelled".to_owned())),
            "sealed" => Err(Error::Conflict("the batch is sealed: its input had ended".to_owned())),
            "missing" => Err(Error::NotFound("the batch".to_owned())),
            "bad_id" => Err(Error::Protocol(format!("{:?} is no job id", reply.next::<String>()?))),
            other => Err(unexpected(other)),
        }
    }
}

/// What became of a parcel.
enum PutIn {
    Done(Enqueued),
    /// Redis does not have these contents.
    Wants(Vec<ContentHash>),
}

/// All that a chunk needs is wanted at once; asked again, something may have gone meanwhile.
const MOST_WISHES: usize = 4;

fn terms_args(terms: &JobTerms, batch: Option<&BatchId>) -> Args {
    let (delay_ms, at_ms) = match terms.due {
        Due::Now => (0, 0),
        Due::In(delay) => (millis(delay), 0),
        // 0 would mean "not given".
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

//! Enqueues one mail.

use std::{
    future::IntoFuture,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use postroom_core::{EnvelopePattern, InvalidInput, JobId, Mail, QueueName, Store, store::JobTerms};

use crate::{
    backoff::with_backoff,
    coalescer::Coalescer,
    error::{Error, Result},
    fingerprint,
    options::Options,
    postroom::Postroom,
};

/// Pauses between the attempts to enqueue one mail while Redis is unreachable.
const SEND_PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];
/// Maximum time during which a mail is enqueued again until it is durable.
const DURABLE_LIMIT: Duration = Duration::from_secs(8);
/// Pause between two attempts to make a mail durable.
const DURABLE_PAUSE: Duration = Duration::from_millis(200);

/// A mail that is being prepared; `.await` enqueues it and returns the job's id.
#[derive(Debug)]
#[must_use = "nothing is enqueued before `.await`"]
pub struct SendMail<'a> {
    postroom: &'a Postroom,
    mail: Mail,
    options: Options,
}

impl Postroom {
    /// Prepares a mail: `postroom.send(mail).await?` enqueues it and returns the job's id.
    pub fn send(&self, mail: Mail) -> SendMail<'_> {
        SendMail { postroom: self, mail, options: Options::default() }
    }
}

impl SendMail<'_> {
    /// Sets the options.
    pub fn with(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// Queue of the mail.
    #[must_use]
    pub fn queue(&self) -> QueueName {
        self.options.queue(&self.postroom.settings, self.mail.template.as_deref(), QueueName::emails)
    }

    /// Checks the mail and its terms before the first call to Redis, then enqueues it.
    async fn enqueue(self) -> Result<JobId> {
        let postroom = self.postroom;
        let queue = self.queue();
        postroom.check(&self.mail).await?;
        let terms = self.options.terms(&postroom.settings, &queue, self.mail.template.as_deref())?;
        postroom.check_queue(&queue).await?;
        let store = postroom.store().await?;
        let key = self.options.key.as_ref().map(|key| {
            let fingerprint = fingerprint::of_mail(&self.mail, &(&queue, self.options.content()))?;
            Ok::<_, InvalidInput>((key.clone(), fingerprint))
        });
        let (id, key) = (JobId::new(queue.clone()), key.transpose()?);
        check_envelope(self.mail.envelope_from.as_ref(), &id)?;
        let coalescer = &postroom.coalescer;
        let mut job = CheckedJob { store, coalescer, queue, terms, key, id, mail: self.mail };
        if self.options.durable {
            job.enqueue_durably().await?;
        } else {
            job.enqueue().await?;
        }
        Ok(job.id)
    }
}

/// A job that passed all checks. Enqueueing it is idempotent.
struct CheckedJob<'a> {
    store: &'a Store,
    coalescer: &'a Arc<Coalescer>,
    queue: QueueName,
    terms: JobTerms,
    /// Idempotency key, and the fingerprint of the content.
    key: Option<(String, String)>,
    id: JobId,
    mail: Mail,
}

impl CheckedJob<'_> {
    /// Enqueues the job. If its key is already reserved, the job takes the id reserved with it.
    async fn enqueue(&mut self) -> Result<()> {
        if let Some((key, fingerprint)) = &self.key {
            let id = self.id.to_string();
            let reserved = with_backoff(&SEND_PAUSES, || self.store.reserve(key, &id, fingerprint)).await?;
            self.id = reserved.id().parse()?;
        }
        let enqueue = || self.coalescer.enqueue(self.store, &self.queue, &self.terms, &self.id, &self.mail);
        let (enqueued, ()) = tokio::join!(with_backoff(&SEND_PAUSES, enqueue), announce(self.store, &self.queue));
        Ok(enqueued?)
    }

    /// Enqueues the job until it is durable: again if Redis restarts before that.
    async fn enqueue_durably(&mut self) -> Result<()> {
        with_backoff(&SEND_PAUSES, || self.store.check_durable()).await?;
        let start = Instant::now();
        loop {
            match self.enqueue_in_current_run().await {
                Err(Error::Core(reason)) if is_outage(&reason) && start.elapsed() < DURABLE_LIMIT => {
                    tokio::time::sleep(DURABLE_PAUSE).await;
                }
                Err(Error::Core(reason)) => return Err(Error::unsure(&self.id, reason)),
                result => return result,
            }
        }
    }

    /// Enqueues the job and waits until it is durable; fails if Redis restarts in between.
    async fn enqueue_in_current_run(&mut self) -> Result<()> {
        let run = self.store.connected_run().await?;
        self.enqueue().await?;
        self.store.make_durable(&run).await?;
        Ok(())
    }
}

/// Checks that an envelope sender is short enough with the id of its job.
pub(crate) fn check_envelope(sender: Option<&EnvelopePattern>, id: &JobId) -> std::result::Result<(), InvalidInput> {
    sender.map_or(Ok(()), |sender| sender.of_job(&id.to_string()).map(drop))
}

fn is_outage(reason: &postroom_core::Error) -> bool {
    matches!(reason, postroom_core::Error::Away(_) | postroom_core::Error::NotSynced)
}

/// Adds a queue that is not built in to the known queues, so that it is listed. Errors are ignored.
pub(crate) async fn announce(store: &Store, queue: &QueueName) {
    if !QueueName::BUILT_IN.contains(&queue.as_str()) {
        let _ = store.register_queues(std::slice::from_ref(queue)).await;
    }
}

impl<'a> IntoFuture for SendMail<'a> {
    type Output = Result<JobId>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<JobId>> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.enqueue())
    }
}

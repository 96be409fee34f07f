//! Handing one mail over.

use std::{future::IntoFuture, pin::Pin, time::Duration};

use postroom_core::{
    JobId, Mail, QueueName, Store,
    store::{JobTerms, NewJob},
};

use crate::{Options, Postroom, Result, fingerprint, patience::patiently};

/// After which pauses a mail is handed over again while Redis is away.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// A mail about to be handed over; `.await` does it.
#[derive(Debug)]
#[must_use = "nothing is handed over before it is awaited"]
pub struct SendMail<'a> {
    postroom: &'a Postroom,
    mail: Mail,
    options: Options,
}

impl<'a> SendMail<'a> {
    pub(crate) fn new(postroom: &'a Postroom, mail: Mail) -> Self {
        Self { postroom, mail, options: Options::default() }
    }

    /// With these options.
    pub fn with(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// The queue that it goes to.
    #[must_use]
    pub fn queue(&self) -> QueueName {
        self.options.queue(&self.postroom.settings, self.mail.template.as_deref(), QueueName::emails)
    }

    /// All that can be found wrong without Redis is found before Redis is asked.
    async fn hand_over(self) -> Result<JobId> {
        let postroom = self.postroom;
        let queue = self.queue();
        postroom.checker().await?.check(&self.mail).map_err(postroom_core::InvalidInput::from)?;
        let terms = self.options.terms(&postroom.settings, &queue, self.mail.template.as_deref())?;
        postroom.check_queue(&queue).await?;
        let store = postroom.store().await?;
        let id = self.id(store, &queue).await?;
        let job = [NewJob { id, mail: self.mail }];
        enqueue(store, &queue, &terms, &job).await?;
        let [NewJob { id, .. }] = job;
        Ok(id)
    }

    /// Whoever finds the key reserved completes it under the id it was reserved for.
    async fn id(&self, store: &Store, queue: &QueueName) -> Result<JobId> {
        let id = JobId::new(queue.clone());
        let Some(key) = &self.options.key else { return Ok(id) };
        let fingerprint = fingerprint::of_mail(&self.mail, &(queue, &self.options))?;
        let id = id.to_string();
        let reserved = patiently(&PAUSES, || store.reserve(key, &id, &fingerprint)).await?;
        Ok(reserved.id().parse()?)
    }
}

async fn enqueue(store: &Store, queue: &QueueName, terms: &JobTerms, job: &[NewJob]) -> postroom_core::Result<()> {
    let (enqueued, _) =
        tokio::join!(patiently(&PAUSES, || store.enqueue(queue, None, terms, job)), announce(store, queue));
    enqueued.map(|_| ())
}

/// So that the queue is shown where nobody configured it. A mail does not fail for it.
pub(crate) async fn announce(store: &Store, queue: &QueueName) {
    if !QueueName::BUILT_IN.contains(&queue.as_str()) {
        let _ = store.announce_queues(std::slice::from_ref(queue)).await;
    }
}

impl<'a> IntoFuture for SendMail<'a> {
    type Output = Result<JobId>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<JobId>> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.hand_over())
    }
}

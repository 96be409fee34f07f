//! Handing one mail over.

use std::{
    future::IntoFuture,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use postroom_core::{JobId, Mail, QueueName, Store, store::JobTerms};

use crate::{Error, Options, Postroom, Result, fingerprint, patience::patiently, together::Together};

/// After which pauses a mail is handed over again while Redis is away.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];
/// For how long a mail is handed over again until Redis keeps it, and how soon.
const DURABLE_LIMIT: Duration = Duration::from_secs(8);
const TRY_AGAIN: Duration = Duration::from_millis(200);

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
        postroom.check(&self.mail).await?;
        let terms = self.options.terms(&postroom.settings, &queue, self.mail.template.as_deref())?;
        postroom.check_queue(&queue).await?;
        let store = postroom.store().await?;
        let key = self.options.key.as_ref().map(|key| {
            let fingerprint = fingerprint::of_mail(&self.mail, &(&queue, self.options.content()))?;
            Ok::<_, postroom_core::InvalidInput>((key.clone(), fingerprint))
        });
        let (id, key) = (JobId::new(queue.clone()), key.transpose()?);
        let together = &postroom.together;
        let mut handing = Handing { store, together, queue, terms, key, id, mail: self.mail };
        let handed = if self.options.durable { handing.over_for_good().await } else { handing.over().await };
        handed?;
        Ok(handing.id)
    }
}

/// A mail that is ready; it may be said again.
struct Handing<'a> {
    store: &'a Store,
    together: &'a Arc<Together>,
    queue: QueueName,
    terms: JobTerms,
    /// The caller's own name for it, and what tells its content.
    key: Option<(String, String)>,
    id: JobId,
    mail: Mail,
}

impl Handing<'_> {
    /// Whoever finds the key reserved completes it under the id it was reserved for.
    async fn over(&mut self) -> Result<()> {
        if let Some((key, fingerprint)) = &self.key {
            let id = self.id.to_string();
            let reserved = patiently(&PAUSES, || self.store.reserve(key, &id, fingerprint)).await?;
            self.id = reserved.id().parse()?;
        }
        let put_in = || self.together.put_in(self.store, &self.queue, &self.terms, &self.id, &self.mail);
        let (handed, ()) = tokio::join!(patiently(&PAUSES, put_in), announce(self.store, &self.queue));
        Ok(handed?)
    }

    /// When Redis was restarted before it kept the mail, all is said again.
    async fn over_for_good(&mut self) -> Result<()> {
        patiently(&PAUSES, || self.store.check_durable()).await?;
        let start = Instant::now();
        loop {
            match self.over_and_kept().await {
                Err(Error::Core(reason)) if is_passing(&reason) && start.elapsed() < DURABLE_LIMIT => {
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                Err(Error::Core(reason)) => return Err(Error::unsure(&self.id, reason)),
                kept => return kept,
            }
        }
    }

    async fn over_and_kept(&mut self) -> Result<()> {
        let run = self.store.connected_run().await?;
        self.over().await?;
        self.store.make_durable(&run).await?;
        Ok(())
    }
}

fn is_passing(reason: &postroom_core::Error) -> bool {
    matches!(reason, postroom_core::Error::Away(_) | postroom_core::Error::NotSynced)
}

/// So that the queue is shown where nobody configured it. A mail does not fail for it.
pub(crate) async fn announce(store: &Store, queue: &QueueName) {
    if !QueueName::BUILT_IN.contains(&queue.as_str()) {
        let _ = store.register_queues(std::slice::from_ref(queue)).await;
    }
}

impl<'a> IntoFuture for SendMail<'a> {
    type Output = Result<JobId>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<JobId>> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.hand_over())
    }
}

//! A way into Postroom.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use postroom_core::{
    BatchId, BatchReport, Error, InvalidInput, JobId, JobReport, JobState, Mail, QueueName, Settings, Store,
    settings::variables, store::LazyStore,
};
use postroom_mail::{Templates, Transport, Variables, apart};
use tokio::sync::{Mutex, OnceCell};

use crate::{
    Bulk, Result, SendMail,
    check::{Checker, unusable},
    together::Together,
};

/// How soon a waiting caller looks again, at first and at last.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// A way into Postroom: hands mail over to the workers, asks what became of it, or sends it in the foreground.
///
/// Share it by reference or in an [`Arc`]; its connection is shared by all who use it.
#[derive(Debug)]
pub struct Postroom {
    pub(crate) settings: Settings,
    pub(crate) store: LazyStore,
    pub(crate) transports: Mutex<BTreeMap<String, Arc<Transport>>>,
    pub(crate) together: Arc<Together>,
    templates: OnceCell<Option<Arc<Templates>>>,
}

impl Postroom {
    /// Connects to the Redis at `url`. All else is set up as for any process of Postroom: environment, `.env`,
    /// `postroom.toml`.
    pub async fn connect(url: &str) -> Result<Self> {
        let settings = Settings::load(&[(variables::REDIS_URL, url.to_owned())])?;
        let postroom = Self::with_settings(settings);
        postroom.store().await?;
        Ok(postroom)
    }

    /// With these settings. Nothing is connected before it is needed.
    #[must_use]
    pub fn with_settings(settings: Settings) -> Self {
        // Redis over TLS needs a crypto provider. One that is installed already is kept.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = LazyStore::new(settings.redis.clone());
        Self { settings, store, transports: Mutex::default(), together: Arc::default(), templates: OnceCell::new() }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The job store, for what has no method here.
    pub async fn store(&self) -> Result<&Store> {
        Ok(self.store.connect().await?)
    }

    /// Hands a mail over: `postroom.send(mail).await?` returns the job's id once it is stored.
    pub fn send(&self, mail: Mail) -> SendMail<'_> {
        SendMail::new(self, mail)
    }

    /// Hands many mails over as one batch; `shared` is what they have in common, stored once.
    pub fn bulk(&self, shared: Mail) -> Bulk<'_> {
        Bulk::new(self, shared)
    }

    /// Checks a mail as [`Postroom::send`] does before it asks Redis.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`]: what a worker with the same templates and settings would refuse, by its field.
    pub async fn check(&self, mail: &Mail) -> Result<()> {
        let none = Variables::default();
        match self.checker().await?.check_quickly(&none, mail) {
            Some(checked) => Ok(checked.map_err(InvalidInput::from)?),
            None => self.check_apart(&none, mail).await,
        }
    }

    /// What became of a job.
    pub async fn status(&self, id: &JobId) -> Result<Option<JobReport>> {
        Ok(self.store().await?.job(id).await?)
    }

    /// What became of a batch.
    pub async fn batch_status(&self, id: &BatchId) -> Result<Option<BatchReport>> {
        Ok(self.store().await?.batch(id).await?)
    }

    /// Waits until a job is over or in doubt, for `limit` at most, and tells how it stands then.
    pub async fn wait(&self, id: &JobId, limit: Duration) -> Result<JobReport> {
        let over = |job: &JobReport| job.state.is_finished() || job.state == JobState::Unknown;
        wait_for(id, limit, || self.status(id), over).await
    }

    /// Waits until a batch is done, or only those in doubt are left, for `limit` at most, and tells how it stands then.
    pub async fn wait_for_batch(&self, id: &BatchId, limit: Duration) -> Result<BatchReport> {
        let over = |batch: &BatchReport| batch.sealed && batch.unfinished() == batch.unknown;
        wait_for(id, limit, || self.batch_status(id), over).await
    }

    /// The templates of this machine, loaded again when they changed; none where there is no such folder.
    pub async fn templates(&self) -> Result<Option<&Templates>> {
        Ok(self.shared_templates().await?.map(Arc::as_ref))
    }

    pub(crate) async fn shared_templates(&self) -> Result<Option<&Arc<Templates>>> {
        let folder = &self.settings.templates_dir;
        let load = || async {
            let found = folder.is_dir().then(|| Templates::load(folder)).transpose();
            found.map(|found| found.map(Arc::new)).map_err(|error| unusable(&error))
        };
        let templates = self.templates.get_or_try_init(load).await?.as_ref();
        if let Some(templates) = templates {
            templates.reload_if_changed().map_err(|error| unusable(&error))?;
        }
        Ok(templates)
    }

    /// Says goodbye to mail servers that were used in the foreground.
    pub async fn close(&self) {
        for transport in self.transports.lock().await.values() {
            transport.close().await;
        }
    }

    pub(crate) async fn checker(&self) -> Result<Checker<'_>> {
        Ok(Checker {
            templates: self.templates().await?,
            max_size: self.settings.max_message_size,
            sender: self.settings.sender.as_ref(),
        })
    }

    /// Checks a mail that takes long to check, apart from the threads of the caller.
    pub(crate) async fn check_apart(&self, shared: &Variables, mail: &Mail) -> Result<()> {
        let templates = self.shared_templates().await?.cloned();
        let (shared, mail, sender) = (shared.clone(), mail.clone(), self.settings.sender.clone());
        let max_size = self.settings.max_message_size;
        let checked = apart(move || {
            Checker { templates: templates.as_deref(), max_size, sender: sender.as_ref() }.check_over(&shared, &mail)
        });
        Ok(checked.await.map_err(InvalidInput::from)?)
    }

    /// Refuses a queue that is neither configured nor served: nobody would ever look at it.
    pub(crate) async fn check_queue(&self, queue: &QueueName) -> Result<()> {
        if self.settings.queues.contains_key(queue) || self.is_served(queue).await? {
            return Ok(());
        }
        let known: Vec<&str> = self.settings.queues.keys().map(QueueName::as_str).collect();
        let problem = format!(
            "there is no queue {queue}: it is not configured and no worker serves it; it may be {}",
            known.join(", ")
        );
        Err(InvalidInput::new("queue", problem).into())
    }

    /// Whether a worker that is alive serves the queue.
    pub async fn is_served(&self, queue: &QueueName) -> Result<bool> {
        let workers = self.store().await?.workers().await?;
        Ok(workers.iter().any(|worker| worker.queues.contains(queue)))
    }
}

/// Looks until it is over or the time has run out. A Redis that is away for a moment is waited for.
async fn wait_for<T, F>(
    id: &impl ToString,
    limit: Duration,
    look: impl Fn() -> F,
    over: impl Fn(&T) -> bool,
) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let start = Instant::now();
    let mut pause = LOOK_AGAIN.0;
    loop {
        let out_of_time = start.elapsed() >= limit;
        match look().await {
            Ok(Some(report)) if out_of_time || over(&report) => return Ok(report),
            Ok(None) => return Err(Error::NotFound(id.to_string()).into()),
            Err(crate::Error::Core(Error::Away(_))) if !out_of_time => {}
            Err(error) => return Err(error),
            Ok(Some(_)) => {}
        }
        tokio::time::sleep(pause.min(limit.saturating_sub(start.elapsed()))).await;
        pause = (pause * 2).min(LOOK_AGAIN.1);
    }
}

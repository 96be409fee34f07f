//! The entry point of the library.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use postroom_core::{
    BatchId, BatchReport, Error, InvalidInput, JobId, JobReport, JobState, Mail, QueueName, Settings, Store,
    settings::variables,
    store::{LazyStore, ProcessInfo},
};
use postroom_mail::{Templates, Transport, Variables, run_blocking};
use tokio::sync::{Mutex, OnceCell};

use crate::{
    check::{MailChecker, unusable_templates},
    coalescer::Coalescer,
    error::Result,
};

/// First and maximum pause between two polls of a waiting caller.
const POLL_PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// Enqueues mail, reads its state, and sends mail in the foreground.
///
/// Share it by reference or in an [`Arc`]; all users share one connection to Redis.
#[derive(Debug)]
pub struct Postroom {
    pub(crate) settings: Settings,
    pub(crate) store: LazyStore,
    pub(crate) transports: Mutex<BTreeMap<String, Arc<Transport>>>,
    pub(crate) coalescer: Arc<Coalescer>,
    templates: OnceCell<Option<Arc<Templates>>>,
}

impl Postroom {
    /// Connects to the Redis at `url`. Other settings are read from the environment, `.env` and
    /// `postroom.toml`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] for invalid settings; [`postroom_core::Error`] if Redis can't be used.
    pub async fn connect(url: &str) -> Result<Self> {
        let settings = Settings::load(&[(variables::REDIS_URL, url.to_owned())])?;
        let postroom = Self::with_settings(settings);
        postroom.store().await?;
        Ok(postroom)
    }

    /// Creates an instance with these settings. It connects to Redis on first use.
    #[must_use]
    pub fn with_settings(settings: Settings) -> Self {
        // Redis over TLS needs a crypto provider. One that is installed already is kept.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = LazyStore::new(settings.redis.clone());
        Self { settings, store, transports: Mutex::default(), coalescer: Arc::default(), templates: OnceCell::new() }
    }

    /// Settings of this instance.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the job store, for operations without a method here.
    ///
    /// # Errors
    ///
    /// [`postroom_core::Error`] if Redis can't be used.
    pub async fn store(&self) -> Result<&Store> {
        Ok(self.store.connect().await?)
    }

    /// Checks a mail as [`Postroom::send`] does before it calls Redis.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] with the field that a worker with the same templates and settings would
    /// reject.
    pub async fn check(&self, mail: &Mail) -> Result<()> {
        let none = Variables::default();
        match self.checker().await?.check_quickly(&none, mail) {
            Some(checked) => Ok(checked.map_err(InvalidInput::from)?),
            None => self.check_on_thread(&none, mail).await,
        }
    }

    /// Returns the state of a job; `None` if there is no such job.
    pub async fn status(&self, id: &JobId) -> Result<Option<JobReport>> {
        Ok(self.store().await?.job(id).await?)
    }

    /// Returns the state of a batch; `None` if there is no such batch.
    pub async fn batch_status(&self, id: &BatchId) -> Result<Option<BatchReport>> {
        Ok(self.store().await?.batch(id).await?)
    }

    /// Waits at most `limit` until a job is finished or in doubt, and returns its state.
    ///
    /// # Errors
    ///
    /// [`postroom_core::Error::NotFound`] if there is no such job.
    pub async fn wait(&self, id: &JobId, limit: Duration) -> Result<JobReport> {
        let is_done = |job: &JobReport| job.state.is_finished() || job.state == JobState::Unknown;
        wait_for(id, limit, || self.status(id), is_done).await
    }

    /// Waits at most `limit` until all mails of a batch are finished or in doubt, and returns its
    /// state.
    ///
    /// # Errors
    ///
    /// [`postroom_core::Error::NotFound`] if there is no such batch.
    pub async fn wait_for_batch(&self, id: &BatchId, limit: Duration) -> Result<BatchReport> {
        let is_done = |batch: &BatchReport| batch.sealed && batch.unfinished() == batch.unknown;
        wait_for(id, limit, || self.batch_status(id), is_done).await
    }

    /// Returns the templates of this machine, reloaded if they changed; `None` if the templates
    /// folder does not exist.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if a template does not parse.
    pub async fn templates(&self) -> Result<Option<&Templates>> {
        Ok(self.shared_templates().await?.map(Arc::as_ref))
    }

    pub(crate) async fn shared_templates(&self) -> Result<Option<&Arc<Templates>>> {
        let folder = &self.settings.templates_dir;
        let load = || async {
            let found = folder.is_dir().then(|| Templates::load(folder)).transpose();
            found.map(|found| found.map(Arc::new)).map_err(|error| unusable_templates(&error))
        };
        let templates = self.templates.get_or_try_init(load).await?.as_ref();
        if let Some(templates) = templates {
            templates.reload_if_changed().map_err(|error| unusable_templates(&error))?;
        }
        Ok(templates)
    }

    /// Closes the connections to mail servers that [`Postroom::send_now`] opened.
    pub async fn close(&self) {
        for transport in self.transports.lock().await.values() {
            transport.close().await;
        }
    }

    pub(crate) async fn checker(&self) -> Result<MailChecker<'_>> {
        Ok(MailChecker {
            templates: self.templates().await?,
            max_size: self.settings.max_message_size,
            sender: self.settings.sender.as_ref(),
        })
    }

    /// Checks a large mail on a thread for blocking work.
    pub(crate) async fn check_on_thread(&self, shared: &Variables, mail: &Mail) -> Result<()> {
        let templates = self.shared_templates().await?.cloned();
        let (shared, mail, sender) = (shared.clone(), mail.clone(), self.settings.sender.clone());
        let max_size = self.settings.max_message_size;
        let checked = run_blocking(move || {
            MailChecker { templates: templates.as_deref(), max_size, sender: sender.as_ref() }
                .check_over(&shared, &mail)
        });
        Ok(checked.await.map_err(InvalidInput::from)?)
    }

    /// Returns an error for a queue that is neither configured nor served by a worker.
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

    /// Returns true if a live worker serves the queue.
    pub async fn is_served(&self, queue: &QueueName) -> Result<bool> {
        Ok(!self.workers_of(queue).await?.is_empty())
    }

    /// Returns the live workers that serve the queue.
    pub async fn workers_of(&self, queue: &QueueName) -> Result<Vec<ProcessInfo>> {
        let mut workers = self.store().await?.workers().await?;
        workers.retain(|worker| worker.queues.contains(queue));
        Ok(workers)
    }
}

/// Polls until `is_done` or the time has run out. Outages of Redis within that time are tolerated.
async fn wait_for<T, F>(
    id: &impl ToString,
    limit: Duration,
    poll: impl Fn() -> F,
    is_done: impl Fn(&T) -> bool,
) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let start = Instant::now();
    let mut pause = POLL_PAUSES.0;
    loop {
        let out_of_time = start.elapsed() >= limit;
        match poll().await {
            Ok(Some(report)) if out_of_time || is_done(&report) => return Ok(report),
            Ok(None) => return Err(Error::NotFound(id.to_string()).into()),
            Err(crate::Error::Core(Error::Away(_))) if !out_of_time => {}
            Err(error) => return Err(error),
            Ok(Some(_)) => {}
        }
        tokio::time::sleep(pause.min(limit.saturating_sub(start.elapsed()))).await;
        pause = (pause * 2).min(POLL_PAUSES.1);
    }
}

//! Enqueues many mails as one batch, in constant memory.

use std::{collections::VecDeque, mem, sync::Arc};

use postroom_core::{
    Addressee, BatchId, InvalidInput, Mail, Pace, QueueName, Settings, Store,
    bounds::check_name,
    store::{EnqueueRequest, JobTerms, NewBatch, NewJob},
};
use postroom_mail::HeaderTemplates;
use serde_json::{Map, Value};
use tokio::task::JoinHandle;

use crate::{
    backoff::{BULK_PAUSES, with_backoff},
    bulk_checker::BulkChecker,
    error::{Error, Result},
    fingerprint,
    options::Options,
    postroom::Postroom,
    replay_buffer::{BatchHeader, ReplayBuffer, Seal},
    send::{announce, check_envelope},
};

/// Maximum number of jobs in one call; the script accepts no more.
const CHUNK: usize = 200;
/// Approximate maximum number of bytes of content in one call.
const CHUNK_BYTES: usize = 4 << 20;
/// Maximum number of concurrent calls, so that neither side waits for the other.
const MAX_CALLS: usize = 3;

/// A bulk that is being prepared; [`Bulk::start`] creates its batch.
#[derive(Debug)]
#[must_use = "nothing is enqueued before `start`"]
pub struct Bulk<'a> {
    postroom: &'a Postroom,
    shared: Mail,
    name: Option<String>,
    rows: String,
    pace: Option<Pace>,
    notify: Option<Addressee>,
    headers: Option<Arc<HeaderTemplates>>,
    options: Options,
}

impl Postroom {
    /// Prepares a bulk: many mails enqueued as one batch. `shared` is the content that they have in
    /// common, stored once.
    pub fn bulk(&self, shared: Mail) -> Bulk<'_> {
        Bulk {
            postroom: self,
            shared,
            name: None,
            rows: String::new(),
            pace: None,
            notify: None,
            headers: None,
            options: Options::default(),
        }
    }
}

impl<'a> Bulk<'a> {
    /// Sets the display name; the default is the template's name.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Sets a fingerprint of the rows, such as the hash of a file. With [`Options::key`], different
    /// rows under the same key are a conflict.
    pub fn rows(self, hash: impl Into<String>) -> Self {
        Self { rows: hash.into(), ..self }
    }

    /// Sets the rate of the batch over all workers, or the pause between two of its mails.
    pub fn pace(self, pace: Pace) -> Self {
        Self { pace: Some(pace), ..self }
    }

    /// Sets the receiver of one notice when the batch is done: an address gets a mail, a URL a
    /// POST.
    pub fn notify(self, to: impl Into<Addressee>) -> Self {
        Self { notify: Some(to.into()), ..self }
    }

    /// Sets headers whose values are templates, rendered for each mail when it is added. A mail's
    /// own header of that name takes precedence.
    pub fn headers(self, headers: HeaderTemplates) -> Self {
        Self { headers: Some(Arc::new(headers)), ..self }
    }

    /// Sets the options.
    pub fn with(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// Queue of the mails.
    #[must_use]
    pub fn queue(&self) -> QueueName {
        self.options.queue(&self.postroom.settings, self.shared.template.as_deref(), QueueName::bulk)
    }

    /// Creates the batch and returns the input for its mails.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] for an invalid name, options, shared content or queue. Name, options and
    /// content are checked before the first call to Redis. [`postroom_core::Error`] if Redis is
    /// unreachable, or if the key was used with other content.
    pub async fn start(self) -> Result<BulkInput<'a>> {
        let settings = &self.postroom.settings;
        let queue = self.queue();
        let name = self.name.clone().or_else(|| self.shared.template.clone()).unwrap_or_else(|| "bulk".to_owned());
        check_name("name", "the batch's name", &name)?;
        self.shared.check_parts()?;
        let terms = self.options.terms(settings, &queue, self.shared.template.as_deref())?;
        check_sensitive_headers(&terms, self.headers.is_some())?;
        self.postroom.check_queue(&queue).await?;
        let store = self.postroom.store().await?;
        if self.options.durable {
            with_backoff(&BULK_PAUSES, || store.check_durable()).await?;
        }
        let (id, key) = self.id(store, &queue).await?;
        check_envelope(self.shared.envelope_from.as_ref(), &id.job(0))?;
        let template = self.shared.template.clone();
        let checker = self.postroom.bulk_checker(&self.shared).await?.with_headers(self.headers);
        let mut shared = self.shared;
        // Shared content outlives the mails. Sensitive variables are stored with each mail instead,
        // and deleted with it.
        let vars = if terms.sensitive { mem::take(&mut shared.vars) } else { Map::new() };
        let shares_vars = !shared.vars.is_empty();
        let batch = NewBatch { id: id.clone(), name, retention: terms.policy.retention, shared, pace: self.pace };
        let replay_buffer = ReplayBuffer::open(store, BatchHeader { batch, key, notify: self.notify }).await?;
        announce(store, &queue).await;
        let chunk = Chunk { terms, template: template.clone(), jobs: Vec::with_capacity(CHUNK), bytes: 0 };
        Ok(BulkInput {
            postroom: self.postroom,
            settings,
            checker,
            id,
            template,
            vars,
            shares_vars,
            options: self.options,
            next: 0,
            known: 0,
            chunk,
            calls: VecDeque::with_capacity(MAX_CALLS),
            replay_buffer,
        })
    }

    /// Returns the batch reserved under the key, with the key and the fingerprint; without a key, a
    /// new batch.
    async fn id(&self, store: &Store, queue: &QueueName) -> Result<(BatchId, Option<(String, String)>)> {
        let id = BatchId::new(queue.clone());
        let Some(key) = &self.options.key else { return Ok((id, None)) };
        let headers = self.headers.as_ref().map(ToString::to_string).unwrap_or_default();
        let content = (queue, self.options.content(), format!("{}{headers}", self.rows), self.pace);
        let fingerprint = fingerprint::of_mail(&self.shared, &content)?;
        let id = id.to_string();
        let reserved = with_backoff(&BULK_PAUSES, || store.reserve(key, &id, &fingerprint)).await?;
        let problem =
            |_| InvalidInput::new("key", format!("the key {key:?} was used for the single mail {}", reserved.id()));
        Ok((reserved.id().parse().map_err(problem)?, Some((key.clone(), fingerprint))))
    }
}

/// A batch whose mails are being added. A few chunks are sent to Redis while the next one is
/// collected.
#[derive(Debug)]
pub struct BulkInput<'a> {
    postroom: &'a Postroom,
    settings: &'a Settings,
    checker: BulkChecker<'a>,
    id: BatchId,
    template: Option<String>,
    /// Sensitive variables that all mails share; stored with each mail.
    vars: Map<String, Value>,
    /// Whether variables are stored with the batch.
    shares_vars: bool,
    options: Options,
    next: u64,
    known: u64,
    chunk: Chunk,
    calls: VecDeque<EnqueueCall>,
    replay_buffer: ReplayBuffer,
}

/// A running call that enqueues a request. Its result is how many of the mails had been enqueued
/// before.
#[derive(Debug)]
struct EnqueueCall {
    request: Arc<EnqueueRequest>,
    task: JoinHandle<postroom_core::Result<u64>>,
}

/// Counts of a finished bulk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkSummary {
    /// Number of mails.
    pub total: u64,
    /// Number of mails that had been enqueued before, under the same key.
    pub known: u64,
}

/// Jobs under the same terms that are enqueued in one call.
#[derive(Debug)]
struct Chunk {
    terms: JobTerms,
    template: Option<String>,
    jobs: Vec<NewJob>,
    bytes: usize,
}

impl BulkInput<'_> {
    /// Id of the batch.
    #[must_use]
    pub fn id(&self) -> &BatchId {
        &self.id
    }

    /// Number of mails added so far.
    #[must_use]
    pub fn added(&self) -> u64 {
        self.next
    }

    /// Checks and adds a mail, without the shared content. Under a key, the same mails in the same
    /// order have the same ids, so an interrupted bulk can be repeated.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] with the mail's number for a mail that no worker could send. The mail is
    /// not added, but others can be.
    pub async fn add(&mut self, mut own: Mail) -> Result<()> {
        self.check(&mut own).await?;
        self.add_checked(own).await
    }

    /// Adds a mail that passed [`BulkChecker::complete`].
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if the mail's template has sensitive variables and the batch shares
    /// variables. [`postroom_core::Error`] if Redis is unreachable.
    pub async fn add_checked(&mut self, mut own: Mail) -> Result<()> {
        own.vars = with_shared(own.vars, &self.vars);
        self.use_terms_of(own.template.as_ref()).await?;
        self.chunk.bytes += own.content_bytes();
        let id = self.id.job(self.next);
        check_envelope(own.envelope_from.as_ref(), &id)?;
        self.chunk.jobs.push(NewJob { id, mail: own });
        self.next += 1;
        if self.chunk.jobs.len() >= CHUNK || self.chunk.bytes >= CHUNK_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Enqueues the last mails and seals the batch. `invalid` and `duplicates` are the numbers of
    /// skipped rows, shown with the batch. Returns when all mails are durable, as far as the
    /// server's settings allow that.
    ///
    /// # Errors
    ///
    /// [`Error::Unsure`] if Redis did not confirm in time.
    pub async fn finish(mut self, invalid: u64, duplicates: u64) -> Result<BulkSummary> {
        self.flush().await?;
        self.await_calls(0).await?;
        let finished = self.replay_buffer.finish(Seal { invalid, duplicates }, self.options.durable).await;
        finished.map_err(|error| Error::unsure(&self.id, error))?;
        Ok(BulkSummary { total: self.next, known: self.known })
    }

    async fn check(&self, own: &mut Mail) -> Result<()> {
        let mut merged = self.checker.merge(own);
        let completed = self.checker.add_headers(own, &mut merged);
        completed.map_err(|problem| self.numbered(InvalidInput::from(problem).into()))?;
        let checked = match self.checker.check_quickly(&merged) {
            Some(checked) => checked.map_err(|problem| InvalidInput::from(problem).into()),
            None => self.postroom.check_on_thread(self.checker.vars(), &merged).await,
        };
        checked.map_err(|error| self.numbered(error))
    }

    /// Adds the number of the next mail to an error about it.
    fn numbered(&self, error: Error) -> Error {
        match error {
            Error::Core(postroom_core::Error::Invalid(problem)) => {
                let message = format!("mail {}: {}", self.next + 1, problem.problem);
                InvalidInput::new(problem.field, message).into()
            }
            other => other,
        }
    }

    /// Starts a new chunk if the mail's own template has other terms.
    async fn use_terms_of(&mut self, own: Option<&String>) -> Result<()> {
        let template = own.or(self.template.as_ref());
        if template == self.chunk.template.as_ref() {
            return Ok(());
        }
        let template = template.cloned();
        self.flush().await?;
        let terms = self.options.terms(self.settings, self.id.queue(), template.as_deref())?;
        check_sensitive_headers(&terms, self.checker.has_headers())?;
        if terms.sensitive && self.shares_vars {
            return Err(sensitive_vars_are_shared(template.as_deref()).into());
        }
        self.chunk.terms = terms;
        self.chunk.template = template;
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let jobs = mem::replace(&mut self.chunk.jobs, Vec::with_capacity(CHUNK));
        let bytes = mem::take(&mut self.chunk.bytes);
        if jobs.is_empty() {
            return Ok(());
        }
        // Large chunks are sent one at a time.
        self.await_calls(if bytes < CHUNK_BYTES { MAX_CALLS - 1 } else { 0 }).await?;
        let request = Arc::new(EnqueueRequest::new(self.id.queue(), Some(&self.id), &self.chunk.terms, &jobs)?);
        let (store, own) = (self.replay_buffer.store(), Arc::clone(&request));
        let call = async move {
            with_backoff(&BULK_PAUSES, || store.enqueue_request(&own)).await.map(|enqueued| enqueued.known)
        };
        self.calls.push_back(EnqueueCall { request, task: tokio::spawn(call) });
        Ok(())
    }

    /// Waits until at most `left` calls are running.
    async fn await_calls(&mut self, left: usize) -> Result<()> {
        while self.calls.len() > left
            && let Some(EnqueueCall { request, task }) = self.calls.pop_front()
        {
            let result = task.await.map_err(|error| postroom_core::Error::Protocol(error.to_string()))?;
            self.known += self.replay_buffer.record(request, result).await?;
        }
        Ok(())
    }
}

/// Returns `own`, completed from the shared variables.
fn with_shared(own: Map<String, Value>, shared: &Map<String, Value>) -> Map<String, Value> {
    if shared.is_empty() {
        return own;
    }
    let mut all = shared.clone();
    all.extend(own);
    all
}

/// Rejects headers made from sensitive variables, since they are stored and shown with the mail.
fn check_sensitive_headers(terms: &JobTerms, has_headers: bool) -> Result<(), InvalidInput> {
    if !terms.sensitive || !has_headers {
        return Ok(());
    }
    let problem = "the variables of the template are sensitive, but the headers of a bulk are stored and shown; \
                   headers.toml in the template's folder is rendered by the worker";
    Err(InvalidInput::new("headers", problem))
}

/// Error for a mail with sensitive variables in a batch that already stores its shared variables
/// with its result.
fn sensitive_vars_are_shared(template: Option<&str>) -> InvalidInput {
    let name = template.unwrap_or_default();
    InvalidInput::new(
        "template",
        format!(
            "the variables of {name:?} are sensitive, but the bulk stores shared variables with its result; \
             make {name:?} the template of the bulk, or set the variables in each row"
        ),
    )
}

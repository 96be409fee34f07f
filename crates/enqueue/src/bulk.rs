//! Handing many mails over as one batch, in constant memory.

use std::{collections::VecDeque, mem, sync::Arc};

use postroom_core::{
    Addressee, BatchId, InvalidInput, Mail, Pace, QueueName, Settings, Store,
    bounds::check_name,
    store::{EnqueueRequest, JobTerms, NewBatch, NewJob},
};
use serde_json::{Map, Value};
use tokio::task::JoinHandle;

use crate::{
    Error, Options, Postroom, Result,
    check::Checker,
    fingerprint,
    patience::{PAUSES, patiently},
    send::announce,
    shared::Shared,
    unkept::{Opening, Seal, Unkept},
};

/// How many jobs go to Redis in one call; a script does no more work than that.
const CHUNK: usize = 200;
/// How many bytes of content, about, go to Redis in one call.
const CHUNK_BYTES: usize = 4 << 20;
/// How many chunks are on their way at a time, so that neither side waits for the other.
const FLIGHTS: usize = 3;

/// A bulk about to be begun.
#[derive(Debug)]
#[must_use = "nothing is handed over before it is started"]
pub struct Bulk<'a> {
    postroom: &'a Postroom,
    shared: Mail,
    name: Option<String>,
    rows: String,
    pace: Option<Pace>,
    notify: Option<Addressee>,
    options: Options,
}

impl<'a> Bulk<'a> {
    pub(crate) fn new(postroom: &'a Postroom, shared: Mail) -> Self {
        Self {
            postroom,
            shared,
            name: None,
            rows: String::new(),
            pace: None,
            notify: None,
            options: Options::default(),
        }
    }

    /// Its name for people; that of its template when absent.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// What stands for its mails when the key of [`Options::key`] is said again, such as the hash of a file: other rows
    /// under the same key are a conflict.
    pub fn rows(self, hash: impl Into<String>) -> Self {
        Self { rows: hash.into(), ..self }
    }

    /// What keeps its mails apart: however many workers there are, they leave no faster.
    pub fn pace(self, pace: Pace) -> Self {
        Self { pace: Some(pace), ..self }
    }

    /// Who is told, once, when all of it is over: an address by a mail, a URL by a POST.
    pub fn notify(self, to: impl Into<Addressee>) -> Self {
        Self { notify: Some(to.into()), ..self }
    }

    /// With these options.
    pub fn with(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// The queue that it goes to.
    #[must_use]
    pub fn queue(&self) -> QueueName {
        self.options.queue(&self.postroom.settings, self.shared.template.as_deref(), QueueName::bulk)
    }

    /// Creates the batch; then mails can be added.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] for a name, options or shared content that no mail can have, before Redis is asked.
    pub async fn start(self) -> Result<BulkInput<'a>> {
        let settings = &self.postroom.settings;
        let queue = self.queue();
        let name = self.name.clone().or_else(|| self.shared.template.clone()).unwrap_or_else(|| "bulk".to_owned());
        check_name("name", "the batch's name", &name)?;
        self.shared.check_parts()?;
        let terms = self.options.terms(settings, &queue, self.shared.template.as_deref())?;
        self.postroom.check_queue(&queue).await?;
        let store = self.postroom.store().await?;
        if self.options.durable {
            patiently(&PAUSES, || store.check_durable()).await?;
        }
        let (id, key) = self.id(store, &queue).await?;
        let template = self.shared.template.clone();
        let shared = Shared::of(&self.shared);
        let mut kept = self.shared;
        // What the batch shares outlives its mails: sensitive variables go with each of them, and end with it.
        let vars = if terms.sensitive { mem::take(&mut kept.vars) } else { Map::new() };
        let shares_vars = !kept.vars.is_empty();
        let batch = NewBatch { id: id.clone(), name, retention: terms.policy.retention, shared: kept, pace: self.pace };
        let unkept = Unkept::open(store, Opening { batch, key, notify: self.notify }).await?;
        announce(store, &queue).await;
        let chunk = Chunk { terms, template: template.clone(), jobs: Vec::with_capacity(CHUNK), bytes: 0 };
        Ok(BulkInput {
            postroom: self.postroom,
            settings,
            checker: self.postroom.checker().await?,
            shared,
            id,
            template,
            vars,
            shares_vars,
            options: self.options,
            next: 0,
            known: 0,
            chunk,
            in_flight: VecDeque::with_capacity(FLIGHTS),
            unkept,
        })
    }

    /// The batch that the key stands for, and that key with what tells the content; a new one without a key.
    async fn id(&self, store: &Store, queue: &QueueName) -> Result<(BatchId, Option<(String, String)>)> {
        let id = BatchId::new(queue.clone());
        let Some(key) = &self.options.key else { return Ok((id, None)) };
        let fingerprint = fingerprint::of_mail(&self.shared, &(queue, self.options.content(), &self.rows, self.pace))?;
        let id = id.to_string();
        let reserved = patiently(&PAUSES, || store.reserve(key, &id, &fingerprint)).await?;
        let problem =
            |_| InvalidInput::new("key", format!("the key {key:?} stands for the single mail {}", reserved.id()));
        Ok((reserved.id().parse().map_err(problem)?, Some((key.clone(), fingerprint))))
    }
}

/// A batch whose mails are being added. A few chunks are on their way to Redis while the next one is collected.
#[derive(Debug)]
pub struct BulkInput<'a> {
    postroom: &'a Postroom,
    settings: &'a Settings,
    checker: Checker<'a>,
    shared: Shared,
    id: BatchId,
    template: Option<String>,
    /// Sensitive variables that all mails share.
    vars: Map<String, Value>,
    /// Whether variables are kept with the batch.
    shares_vars: bool,
    options: Options,
    next: u64,
    known: u64,
    chunk: Chunk,
    in_flight: VecDeque<Flight>,
    unkept: Unkept,
}

/// A parcel on its way to Redis; the answer is how many of it were known.
#[derive(Debug)]
struct Flight {
    parcel: Arc<EnqueueRequest>,
    answer: JoinHandle<postroom_core::Result<u64>>,
}

/// What came of a bulk's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkSummary {
    /// How many mails it has.
    pub total: u64,
    /// How many of them had been handed over before, under the same key.
    pub known: u64,
}

/// Jobs that go to Redis together, under the same terms.
#[derive(Debug)]
struct Chunk {
    terms: JobTerms,
    template: Option<String>,
    jobs: Vec<NewJob>,
    bytes: usize,
}

impl BulkInput<'_> {
    /// The batch.
    #[must_use]
    pub fn id(&self) -> &BatchId {
        &self.id
    }

    /// How many mails were added so far.
    #[must_use]
    pub fn added(&self) -> u64 {
        self.next
    }

    /// Adds a mail: what is its own, beside what all share. The same mails in the same order have the same ids, so a bulk
    /// that broke off can be said again.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] for a mail that no worker could send, with its number; nothing of it was added, and the next may be.
    pub async fn add(&mut self, own: Mail) -> Result<()> {
        self.check(&own).await?;
        self.add_checked(own).await
    }

    /// Adds a mail that passed the [`Checker`] with what all share.
    pub(crate) async fn add_checked(&mut self, mut own: Mail) -> Result<()> {
        own.vars = with_shared(own.vars, &self.vars);
        self.keep_terms_of(own.template.as_ref()).await?;
        self.chunk.bytes += own.content_bytes();
        self.chunk.jobs.push(NewJob { id: self.id.job(self.next), mail: own });
        self.next += 1;
        if self.chunk.jobs.len() >= CHUNK || self.chunk.bytes >= CHUNK_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Hands over what is left, says that the input has ended, with how many rows were no mail and how many named an
    /// address again, and returns when all of it stays even if Redis is killed then, as far as it can promise that.
    pub async fn finish(mut self, invalid: u64, duplicates: u64) -> Result<BulkSummary> {
        self.flush().await?;
        self.land(0).await?;
        let finished = self.unkept.finish(Seal { invalid, duplicates }, self.options.durable).await;
        finished.map_err(|error| Error::unsure(&self.id, error))?;
        Ok(BulkSummary { total: self.next, known: self.known })
    }

    async fn check(&self, own: &Mail) -> Result<()> {
        let (shared, whole) = (&self.shared.vars, self.shared.whole(own));
        let checked = match self.checker.check_quickly(shared, &whole) {
            Some(checked) => checked.map_err(|problem| InvalidInput::from(problem).into()),
            None => self.postroom.check_apart(shared, &whole).await,
        };
        checked.map_err(|error| match error {
            Error::Core(postroom_core::Error::Invalid(problem)) => {
                let which = format!("mail {}: {}", self.next + 1, problem.problem);
                InvalidInput::new(problem.field, which).into()
            }
            other => other,
        })
    }

    /// A mail with a template of its own has that template's promises.
    async fn keep_terms_of(&mut self, own: Option<&String>) -> Result<()> {
        let template = own.or(self.template.as_ref());
        if template == self.chunk.template.as_ref() {
            return Ok(());
        }
        let template = template.cloned();
        self.flush().await?;
        let terms = self.options.terms(self.settings, self.id.queue(), template.as_deref())?;
        if terms.sensitive && self.shares_vars {
            return Err(sensitive_late(template.as_deref()).into());
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
        // Large ones go one by one.
        self.land(if bytes < CHUNK_BYTES { FLIGHTS - 1 } else { 0 }).await?;
        let parcel = Arc::new(EnqueueRequest::new(self.id.queue(), Some(&self.id), &self.chunk.terms, &jobs)?);
        let (store, own) = (self.unkept.store(), Arc::clone(&parcel));
        let put_in =
            async move { patiently(&PAUSES, || store.enqueue_request(&own)).await.map(|enqueued| enqueued.known) };
        self.in_flight.push_back(Flight { parcel, answer: tokio::spawn(put_in) });
        Ok(())
    }

    /// Waits until no more than `left` chunks are on their way.
    async fn land(&mut self, left: usize) -> Result<()> {
        while self.in_flight.len() > left
            && let Some(Flight { parcel, answer }) = self.in_flight.pop_front()
        {
            let answer = answer.await.map_err(|error| postroom_core::Error::Protocol(error.to_string()))?;
            self.known += self.unkept.landed(parcel, answer).await?;
        }
        Ok(())
    }
}

/// A row's variables, and those that it lacks from what all rows share.
fn with_shared(own: Map<String, Value>, shared: &Map<String, Value>) -> Map<String, Value> {
    if shared.is_empty() {
        return own;
    }
    let mut all = shared.clone();
    all.extend(own);
    all
}

/// The variables that all mails share are stored with the batch by then, for as long as its result is kept.
fn sensitive_late(template: Option<&str>) -> InvalidInput {
    let name = template.unwrap_or_default();
    InvalidInput::new(
        "template",
        format!(
            "the variables of {name:?} are sensitive, but the bulk shares variables under another template, which are kept \
             with its result: make {name:?} the template of the bulk, or put the variables into the rows"
        ),
    )
}

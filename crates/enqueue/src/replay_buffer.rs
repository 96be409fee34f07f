//! Buffers the parts of a bulk that are not durable yet, and replays them after a restart of Redis.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use postroom_core::{
    Addressee, Error, Result, Store,
    store::{Durability, EnqueueRequest, NewBatch, RunId},
};
use tokio::{task::JoinHandle, time::Instant};

use crate::backoff::{BULK_PAUSES, with_backoff};

/// Interval between durability checks while mails are added.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of buffered bytes; beyond it, adding waits until they are durable.
const MAX_BYTES: usize = 16 << 20;
/// Maximum time that [`ReplayBuffer::finish`] waits for durability.
const FINISH_LIMIT: Duration = Duration::from_secs(60);
/// Pause between durability checks at the end.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Maximum number of consecutive restarts of Redis that one replay survives.
const MAX_RESTARTS: usize = 10;

/// The requests of a bulk that are not known to be durable. One run of Redis has received all of
/// them. When another run takes over, everything from the batch's record to its seal is sent again.
/// That is idempotent: the ids stay the same.
#[derive(Debug)]
pub(crate) struct ReplayBuffer {
    store: Store,
    header: BatchHeader,
    run: RunId,
    requests: VecDeque<Arc<EnqueueRequest>>,
    bytes: usize,
    seal: Option<Seal>,
    check: Option<DurabilityWait>,
    last_check_at: Instant,
}

/// The calls that precede the mails.
#[derive(Debug)]
pub(crate) struct BatchHeader {
    pub(crate) batch: NewBatch,
    /// Idempotency key, and the fingerprint of the content.
    pub(crate) key: Option<(String, String)>,
    /// Receives a notice when the batch is done.
    pub(crate) notify: Option<Addressee>,
}

/// Counts that seal the batch after the last mail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seal {
    pub(crate) invalid: u64,
    pub(crate) duplicates: u64,
}

/// A running wait for the durability of the first `requests` requests.
#[derive(Debug)]
struct DurabilityWait {
    requests: usize,
    task: JoinHandle<Result<Durability>>,
}

impl ReplayBuffer {
    /// Creates the batch.
    pub(crate) async fn open(store: &Store, header: BatchHeader) -> Result<Self> {
        let run = with_backoff(&BULK_PAUSES, || store.connected_run()).await?;
        let mut buffer = Self {
            store: store.clone(),
            header,
            run,
            requests: VecDeque::new(),
            bytes: 0,
            seal: None,
            check: None,
            last_check_at: Instant::now(),
        };
        match buffer.send_all().await {
            Err(Error::NotSynced) => buffer.replay().await?,
            result => result?,
        }
        Ok(buffer)
    }

    /// Returns a store whose calls fail unless the current run of Redis has received all earlier
    /// requests.
    pub(crate) fn store(&self) -> Store {
        self.store.only_run(&self.run)
    }

    /// Records the result of enqueueing a request, and replays everything when another run of Redis
    /// has taken over. Returns how many mails of the request had been enqueued before.
    pub(crate) async fn record(&mut self, request: Arc<EnqueueRequest>, result: Result<u64>) -> Result<u64> {
        let (known, is_new_run) = match result {
            Err(Error::NotSynced) => (0, true),
            result => (result?, false),
        };
        self.bytes += request.bytes();
        self.requests.push_back(request);
        if is_new_run {
            self.replay().await?;
        }
        self.advance_check().await?;
        Ok(known)
    }

    /// Seals the batch and returns when all of it is durable.
    ///
    /// # Errors
    ///
    /// An outage of Redis that lasts too long. A server that can't make data durable is an error
    /// only with `must_be_durable`.
    pub(crate) async fn finish(&mut self, seal: Seal, must_be_durable: bool) -> Result<()> {
        self.seal = Some(seal);
        let store = self.store();
        match with_backoff(&BULK_PAUSES, || self.send_seal(&store)).await {
            Err(Error::NotSynced) => self.replay().await?,
            result => result?,
        }
        let end = Instant::now() + FINISH_LIMIT;
        loop {
            match self.store.make_durable(&self.run).await {
                Err(Error::NotSynced) if Instant::now() < end => self.replay().await?,
                Err(error) if error.is_transient() && Instant::now() < end => tokio::time::sleep(RETRY_PAUSE).await,
                Err(error) if error.is_transient() || must_be_durable => return Err(error),
                Ok(_) | Err(_) => return Ok(()),
            }
        }
    }

    /// Ends a finished durability check and starts the next one when it is due.
    async fn advance_check(&mut self) -> Result<()> {
        let is_full = self.bytes > MAX_BYTES;
        if self.check.as_ref().is_some_and(|check| is_full || check.task.is_finished()) {
            self.end_check().await?;
        }
        if self.check.is_none() && (is_full || self.last_check_at.elapsed() >= CHECK_INTERVAL) {
            self.begin_check();
        }
        Ok(())
    }

    fn begin_check(&mut self) {
        let (store, run) = (self.store.clone(), self.run.clone());
        let task = tokio::spawn(async move { store.make_durable(&run).await });
        self.check = Some(DurabilityWait { requests: self.requests.len(), task });
        self.last_check_at = Instant::now();
    }

    /// Drops the requests that are durable. They are dropped as well if the server can't make
    /// anything durable, and kept for the next check if the disk is only late.
    async fn end_check(&mut self) -> Result<()> {
        let Some(DurabilityWait { requests, task }) = self.check.take() else { return Ok(()) };
        match task.await.map_err(|error| Error::Protocol(error.to_string()))? {
            Err(Error::NotSynced) => return self.replay().await,
            Err(error) if error.is_transient() => {}
            Ok(_) | Err(_) => self.drop_requests(requests),
        }
        Ok(())
    }

    fn drop_requests(&mut self, number: usize) {
        let bytes: usize = self.requests.drain(..number).map(|request| request.bytes()).sum();
        self.bytes -= bytes;
    }

    /// Sends everything to the current run of Redis, again for each run that takes over meanwhile.
    async fn replay(&mut self) -> Result<()> {
        self.check = None;
        for _ in 0..MAX_RESTARTS {
            self.run = with_backoff(&BULK_PAUSES, || self.store.connected_run()).await?;
            match self.send_all().await {
                Err(Error::NotSynced) => {}
                result => return result,
            }
        }
        Err(Error::Away("Redis restarts again and again".to_owned()))
    }

    /// Sends the header, all requests and the seal in order; fails if another run takes over.
    async fn send_all(&self) -> Result<()> {
        let store = self.store();
        let BatchHeader { batch, key, notify } = &self.header;
        if let Some((key, fingerprint)) = key {
            let id = batch.id.to_string();
            with_backoff(&BULK_PAUSES, || store.reserve(key, &id, fingerprint)).await?;
        }
        with_backoff(&BULK_PAUSES, || store.create_batch(batch)).await?;
        if let Some(to) = notify {
            with_backoff(&BULK_PAUSES, || store.notify_of_batch(&batch.id, to)).await?;
        }
        for request in &self.requests {
            with_backoff(&BULK_PAUSES, || store.enqueue_request(request)).await?;
        }
        with_backoff(&BULK_PAUSES, || self.send_seal(&store)).await
    }

    /// Seals the batch if the last mail was added.
    async fn send_seal(&self, store: &Store) -> Result<()> {
        match self.seal {
            Some(Seal { invalid, duplicates }) => store.seal_batch(&self.header.batch.id, invalid, duplicates).await,
            None => Ok(()),
        }
    }
}

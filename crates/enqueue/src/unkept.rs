//! What of a bulk Redis may still forget, and saying it again when it did.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use postroom_core::{
    Addressee, Error, Result, Store,
    store::{Durability, EnqueueRequest, NewBatch, RunId},
};
use tokio::{task::JoinHandle, time::Instant};

use crate::patience::{PAUSES, patiently};

/// How often it is found out what stays, while more is put in.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// How much is remembered at most; then the input waits for the disk.
const MOST_BYTES: usize = 16 << 20;
/// For how long the end is waited for.
const LAST_LIMIT: Duration = Duration::from_secs(20);
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// How many restarts of Redis in a row one saying survives.
const RESTARTS: usize = 10;

/// What was put in and is not known to stay. All of it has been heard by one run of Redis; when there is another one, all of
/// it is said again, from the batch's record to its seal: ids are the same, so what that one still knows stays as it is.
#[derive(Debug)]
pub(crate) struct Unkept {
    store: Store,
    opening: Opening,
    run: RunId,
    parcels: VecDeque<Arc<EnqueueRequest>>,
    bytes: usize,
    seal: Option<Seal>,
    round: Option<Round>,
    last_round_at: Instant,
}

/// What comes before the mails.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) batch: NewBatch,
    /// The caller's own name for the bulk, and what tells its content.
    pub(crate) key: Option<(String, String)>,
    /// Who is told when it is done.
    pub(crate) notify: Option<Addressee>,
}

/// What comes after them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seal {
    pub(crate) invalid: u64,
    pub(crate) duplicates: u64,
}

/// A wait for all that had been put in when it began.
#[derive(Debug)]
struct Round {
    covers: usize,
    outcome: JoinHandle<Result<Durability>>,
}

impl Unkept {
    /// Opens the batch.
    pub(crate) async fn open(store: &Store, opening: Opening) -> Result<Self> {
        let run = patiently(&PAUSES, || store.connected_run()).await?;
        let mut unkept = Self {
            store: store.clone(),
            opening,
            run,
            parcels: VecDeque::new(),
            bytes: 0,
            seal: None,
            round: None,
            last_round_at: Instant::now(),
        };
        match unkept.say().await {
            Err(Error::NotSynced) => unkept.say_again().await?,
            said => said?,
        }
        Ok(unkept)
    }

    /// The store as the next parcel is to be put in by: refused by any run that has not heard all before it.
    pub(crate) fn store(&self) -> Store {
        self.store.only_run(&self.run)
    }

    /// Takes note of what came of putting a parcel in. When it is another run's turn, that one hears all from the start.
    /// Returns how many of the parcel were known.
    pub(crate) async fn landed(&mut self, parcel: Arc<EnqueueRequest>, answer: Result<u64>) -> Result<u64> {
        let (known, is_forgotten) = match answer {
            Err(Error::NotSynced) => (0, true),
            answer => (answer?, false),
        };
        self.bytes += parcel.bytes();
        self.parcels.push_back(parcel);
        if is_forgotten {
            self.say_again().await?;
        }
        self.tend().await?;
        Ok(known)
    }

    /// Ends the input, and returns when all of it stays; `Ok` as well where the server can't keep anything, unless it must.
    pub(crate) async fn finish(&mut self, seal: Seal, must_stay: bool) -> Result<()> {
        self.seal = Some(seal);
        let store = self.store();
        match patiently(&PAUSES, || self.say_seal(&store)).await {
            Err(Error::NotSynced) => self.say_again().await?,
            said => said?,
        }
        let end = Instant::now() + LAST_LIMIT;
        loop {
            match self.store.make_durable(&self.run).await {
                Err(Error::NotSynced) if Instant::now() < end => self.say_again().await?,
                Err(error) if error.is_transient() && Instant::now() < end => tokio::time::sleep(TRY_AGAIN).await,
                Err(error) if error.is_transient() || must_stay => return Err(error),
                Ok(_) | Err(_) => return Ok(()),
            }
        }
    }

    async fn tend(&mut self) -> Result<()> {
        let is_full = self.bytes > MOST_BYTES;
        if self.round.as_ref().is_some_and(|round| is_full || round.outcome.is_finished()) {
            self.end_round().await?;
        }
        if self.round.is_none() && (is_full || self.last_round_at.elapsed() >= ROUND_EVERY) {
            self.begin_round();
        }
        Ok(())
    }

    fn begin_round(&mut self) {
        let (store, run) = (self.store.clone(), self.run.clone());
        let outcome = tokio::spawn(async move { store.make_durable(&run).await });
        self.round = Some(Round { covers: self.parcels.len(), outcome });
        self.last_round_at = Instant::now();
    }

    /// A server that can't keep anything is not waited for: what it forgets is lost. Where the disk is only late, the next
    /// round finds out.
    async fn end_round(&mut self) -> Result<()> {
        let Some(Round { covers, outcome }) = self.round.take() else { return Ok(()) };
        match outcome.await.map_err(|error| Error::Protocol(error.to_string()))? {
            Err(Error::NotSynced) => return self.say_again().await,
            Err(error) if error.is_transient() => {}
            Ok(_) | Err(_) => self.forget(covers),
        }
        Ok(())
    }

    fn forget(&mut self, number: usize) {
        let bytes: usize = self.parcels.drain(..number).map(|parcel| parcel.bytes()).sum();
        self.bytes -= bytes;
    }

    async fn say_again(&mut self) -> Result<()> {
        self.round = None;
        for _ in 0..RESTARTS {
            self.run = patiently(&PAUSES, || self.store.connected_run()).await?;
            match self.say().await {
                Err(Error::NotSynced) => {}
                said => return said,
            }
        }
        Err(Error::Away("it is restarted all the time".to_owned()))
    }

    /// Says all there is, in its order, to this one run.
    async fn say(&self) -> Result<()> {
        let store = self.store();
        let Opening { batch, key, notify } = &self.opening;
        if let Some((key, fingerprint)) = key {
            let id = batch.id.to_string();
            patiently(&PAUSES, || store.reserve(key, &id, fingerprint)).await?;
        }
        patiently(&PAUSES, || store.create_batch(batch)).await?;
        if let Some(to) = notify {
            patiently(&PAUSES, || store.notify_of_batch(&batch.id, to)).await?;
        }
        for parcel in &self.parcels {
            patiently(&PAUSES, || store.enqueue_request(parcel)).await?;
        }
        patiently(&PAUSES, || self.say_seal(&store)).await
    }

    async fn say_seal(&self, store: &Store) -> Result<()> {
        match self.seal {
            Some(Seal { invalid, duplicates }) => store.seal_batch(&self.opening.batch.id, invalid, duplicates).await,
            None => Ok(()),
        }
    }
}

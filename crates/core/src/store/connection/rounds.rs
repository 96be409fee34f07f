//! Rounds of waiting for durability. Concurrent calls share them.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, MutexGuard};

use super::{run::RunId, server::NewConnection};
use crate::Result;

/// Where written data is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durability {
    /// On the server's disk.
    pub disk: bool,
    /// On a replica.
    pub replica: bool,
}

/// Rounds of waiting, one at a time. All calls that arrive during a round share the next one.
#[derive(Default)]
pub(in crate::store) struct DurabilityRounds {
    begun: AtomicU64,
    state: Mutex<RoundState>,
}

#[derive(Default)]
pub(in crate::store) struct RoundState {
    /// Separate connection, because WAIT and WAITAOF block all later commands on it.
    pub(in crate::store) connection: Option<NewConnection>,
    last: Option<RoundResult>,
}

struct RoundResult {
    number: u64,
    run: RunId,
    outcome: Result<Durability>,
}

impl DurabilityRounds {
    /// Number of rounds begun so far.
    pub(in crate::store) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Counts a new round and returns its number.
    pub(in crate::store) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Waits for the end of the current round.
    pub(in crate::store) async fn lock(&self) -> MutexGuard<'_, RoundState> {
        self.state.lock().await
    }
}

impl RoundState {
    /// Returns the outcome of the last round if it began after `before` and for the same server
    /// run.
    pub(in crate::store) fn outcome_after(&self, before: u64, run: &RunId) -> Option<Result<Durability>> {
        let last = self.last.as_ref().filter(|last| last.number > before && &last.run == run)?;
        Some(last.outcome.clone())
    }

    /// Records the outcome of a round for the calls that share it.
    pub(in crate::store) fn record(&mut self, number: u64, run: &RunId, outcome: Result<Durability>) {
        self.last = Some(RoundResult { number, run: run.clone(), outcome });
    }
}

//! Access of one worker to Redis.

use postroom_core::{Outage, Result, Store, store::WorkerId};

/// Store handles, the id of this worker, and the record of outages.
#[derive(Debug, Clone)]
pub(crate) struct RedisAccess {
    /// Store handle for calls that do not change the state of a job.
    pub(crate) store: Store,
    /// Store handle for calls that change the state of a job. Refuses all calls to a new run of the
    /// server until that run is resynchronised.
    pub(crate) jobs: Store,
    pub(crate) worker_id: WorkerId,
    outage: Outage,
}

impl RedisAccess {
    /// Creates the access of a new worker.
    pub(crate) fn new(store: Store, outage: Outage) -> Self {
        Self { jobs: store.synced_only(), store, worker_id: WorkerId::generate(), outage }
    }

    /// Records the beginning or the end of an outage, and passes the result on.
    pub(crate) fn watch<T>(&self, result: Result<T>) -> Result<T> {
        self.outage.watch(result)
    }

    /// Records an error only: a success may not have called Redis.
    pub(crate) fn watch_error<T>(&self, result: Result<T>) -> Result<T> {
        result.or_else(|error| self.outage.watch(Err(error)))
    }
}

//! Signals between the tasks of a worker.

use std::sync::Arc;

use tokio::sync::Notify;

/// Signals to the claimer and to the duty that reports on this worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    /// Wakes the claimer: a circuit has opened or closed, a permit is free, or a sweep has found
    /// jobs whose wake token may be lost.
    pub(crate) claim: Arc<Notify>,
    /// Wakes the report: the state of this worker has changed.
    pub(crate) report: Arc<Notify>,
}

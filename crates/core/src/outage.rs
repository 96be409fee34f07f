//! Outages of Redis, logged once when they begin and once when they end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{Error, Result};

/// Outage state of Redis, as this process observed it. Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct Outage {
    absence: Arc<Mutex<Option<OngoingOutage>>>,
    refusals: Arc<Mutex<Refusals>>,
}

/// Recent refusals of the store and the time at which each was logged. A repeat is not logged for a
/// minute.
type Refusals = HashMap<String, Instant>;

#[derive(Debug)]
struct OngoingOutage {
    since: Instant,
    is_logged: bool,
    problem: String,
}

/// Interval at which an identical refusal is logged again.
const LOG_AGAIN: Duration = Duration::from_secs(60);
/// Maximum number of distinct refusals logged within that interval.
const MOST_REFUSALS: usize = 20;

/// Minimum duration of an outage that is logged. A single lost connection is not one.
const LEAST_LOGGED: Duration = Duration::from_secs(1);

impl Outage {
    /// Records the outcome of a store operation and returns it.
    pub fn watch<T>(&self, outcome: Result<T>) -> Result<T> {
        match &outcome {
            Ok(_) => self.end(),
            Err(error) if error.is_transient() => self.note(error),
            Err(error) => self.note_refusal(&error.to_string()),
        }
        outcome
    }

    /// Logs a refusal, unless an identical one was logged within the last minute.
    fn note_refusal(&self, text: &str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.retain(|_, logged| logged.elapsed() < LOG_AGAIN);
        if refusals.len() < MOST_REFUSALS && !refusals.contains_key(text) {
            tracing::error!("a store operation failed: {text}");
            refusals.insert(text.to_owned(), Instant::now());
        }
    }

    /// Records that the store could not be used. A pending resync is not an outage.
    pub fn note(&self, error: &Error) {
        if matches!(error, Error::NotSynced) {
            return;
        }
        let mut absence = self.lock();
        let new = || OngoingOutage { since: Instant::now(), is_logged: false, problem: error.to_string() };
        let absence = absence.get_or_insert_with(new);
        if !absence.is_logged && absence.since.elapsed() >= LEAST_LOGGED {
            absence.is_logged = true;
            tracing::warn!("{error}; deliveries in progress continue, everything else waits");
        }
    }

    /// Records that the store could be used.
    pub fn end(&self) {
        let Some(absence) = self.lock().take() else { return };
        if absence.is_logged {
            let duration = absence.since.elapsed();
            tracing::info!(
                seconds = duration.as_secs(),
                "Redis is available again after {:.1} s",
                duration.as_secs_f64()
            );
        }
    }

    /// Returns the state for `/healthz`.
    ///
    /// # Errors
    /// Returns the problem if an outage was logged and has not ended.
    pub fn state(&self) -> Result<(), String> {
        match &*self.lock() {
            Some(absence) if absence.is_logged => Err(absence.problem.clone()),
            Some(_) | None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<OngoingOutage>> {
        self.absence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

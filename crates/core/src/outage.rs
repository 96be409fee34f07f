//! Redis being away: expected, and said once when it goes and once when it is back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{Error, Result};

/// Whether Redis is away, as far as this process knows. Clones share the answer.
#[derive(Debug, Clone, Default)]
pub struct Outage {
    absence: Arc<Mutex<Option<Absence>>>,
    refusals: Arc<Mutex<Refusals>>,
}

/// What the store refused lately, each with the time at which it was logged: the same again is not logged for a minute.
type Refusals = HashMap<String, Instant>;

#[derive(Debug)]
struct Absence {
    since: Instant,
    told: bool,
    what: String,
}

/// After how long the same refusal is logged again.
const LOG_AGAIN: Duration = Duration::from_secs(60);
/// The largest number of different refusals that are logged within that time.
const MOST_REFUSALS: usize = 20;

/// One lost connection among several is no absence yet.
const WORTH_TELLING: Duration = Duration::from_secs(1);

impl Outage {
    /// Takes note of what came of a conversation with the store, and passes it on.
    pub fn watch<T>(&self, outcome: Result<T>) -> Result<T> {
        match &outcome {
            Ok(_) => self.end(),
            Err(error) if error.is_transient() => self.note(error),
            Err(error) => self.note_refusal(&error.to_string()),
        }
        outcome
    }

    /// Logs a refusal, unless the same one was logged within the last minute.
    fn note_refusal(&self, text: &str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.retain(|_, logged| logged.elapsed() < LOG_AGAIN);
        if refusals.len() < MOST_REFUSALS && !refusals.contains_key(text) {
            tracing::error!("the store refused: {text}");
            refusals.insert(text.to_owned(), Instant::now());
        }
    }

    /// Takes note that the store could not be used. That Redis must hear something first is no absence.
    pub fn note(&self, error: &Error) {
        if matches!(error, Error::NotSynced) {
            return;
        }
        let mut absence = self.lock();
        let new = || Absence { since: Instant::now(), told: false, what: error.to_string() };
        let absence = absence.get_or_insert_with(new);
        if !absence.told && absence.since.elapsed() >= WORTH_TELLING {
            absence.told = true;
            tracing::warn!("{error}; what is under way goes on, the rest waits for it");
        }
    }

    /// Takes note that it could be used.
    pub fn end(&self) {
        let Some(absence) = self.lock().take() else { return };
        if absence.told {
            let away = absence.since.elapsed();
            tracing::info!(seconds = away.as_secs(), "Redis is back after {:.1} s", away.as_secs_f64());
        }
    }

    /// How things are, for `/healthz`: an error tells what is wrong.
    pub fn state(&self) -> Result<(), String> {
        match &*self.lock() {
            Some(absence) if absence.told => Err(absence.what.clone()),
            Some(_) | None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Absence>> {
        self.absence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

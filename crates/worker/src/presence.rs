//! Says once when Redis goes away, and once when it is back.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use postroom_core::Error;
use tracing::{error, info, warn};

/// What was last known of Redis: since when it is away, if it is.
#[derive(Debug, Default)]
pub(crate) struct Presence(Mutex<Option<Absence>>);

#[derive(Debug)]
struct Absence {
    since: Instant,
    told: bool,
}

/// One lost connection among several is no absence yet.
const WORTH_TELLING: Duration = Duration::from_secs(1);

impl Presence {
    /// Takes note of the outcome of a conversation and passes it on.
    pub(crate) fn note<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        match &outcome {
            Ok(_) => self.back(),
            Err(problem) if problem.is_transient() => self.gone(problem),
            Err(problem) => error!("the store refused: {problem}"),
        }
        outcome
    }

    /// Takes note that Redis is away.
    pub(crate) fn gone(&self, problem: &Error) {
        let mut absence = self.lock();
        let absence = absence.get_or_insert_with(|| Absence { since: Instant::now(), told: false });
        if !absence.told && absence.since.elapsed() >= WORTH_TELLING {
            absence.told = true;
            warn!("{problem}; what is under way goes on, the rest waits for it");
        }
    }

    /// How things are, for `/healthz`.
    pub(crate) fn state(&self) -> Result<(), String> {
        match &*self.lock() {
            Some(absence) if absence.told => Err("Redis is away".to_owned()),
            Some(_) | None => Ok(()),
        }
    }

    fn back(&self) {
        let Some(absence) = self.lock().take() else { return };
        if absence.told {
            let away = absence.since.elapsed();
            info!(seconds = away.as_secs(), "Redis is back after {:.1} s", away.as_secs_f64());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Absence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

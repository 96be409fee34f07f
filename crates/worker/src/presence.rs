//! Says once when Redis goes away, and once when it is back.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use postroom_core::Error;
use tracing::{error, info, warn};

/// What was last known of Redis.
#[derive(Debug, Default)]
pub(crate) struct Presence(Mutex<Option<Instant>>);

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
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if since.is_none() {
            *since = Some(Instant::now());
            warn!("{problem}; what is under way goes on, and so does this process when Redis is back");
        }
    }

    fn back(&self) {
        let gone = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(since) = gone {
            info!(seconds = since.elapsed().as_secs(), "Redis is back after {:.1} s", since.elapsed().as_secs_f64());
        }
    }
}

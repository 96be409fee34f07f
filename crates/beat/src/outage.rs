//! Redis being away: expected, and said once when it goes and once when it is back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use postroom_core::{Error, format_span};

/// Whether something keeps the beat from working. Clones share the answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outage(Arc<Mutex<Option<Trouble>>>);

#[derive(Debug)]
struct Trouble {
    since: Instant,
    what: String,
}

impl Outage {
    /// Notes that the store could not be used.
    pub(crate) fn note(&self, error: &Error) {
        let mut trouble = self.lock();
        if trouble.is_none() {
            tracing::warn!("{error}; what falls due is made up for when it is back, as each schedule says");
        }
        let since = trouble.as_ref().map_or_else(Instant::now, |trouble| trouble.since);
        *trouble = Some(Trouble { since, what: error.to_string() });
    }

    /// Notes that it could be used; answers whether that is news.
    pub(crate) fn end(&self) -> bool {
        let Some(trouble) = self.lock().take() else { return false };
        let gone = Duration::from_secs(trouble.since.elapsed().as_secs());
        tracing::info!("Redis is back after {}", format_span(gone));
        true
    }

    /// How things are, for `/healthz`.
    pub(crate) fn state(&self) -> Result<(), String> {
        self.lock().as_ref().map_or(Ok(()), |trouble| Err(trouble.what.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! State shared by all requests.

use std::{sync::Arc, time::Duration};

use postroom_core::{Error, Settings, Store, store::LazyStore};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{guard::AccessGuard, preview::Previews, time_format::TimeFormatter};

/// Time limit of a page's queries to Redis.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(4);

/// State shared by all requests. Clones are cheap.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<SharedState>);

#[derive(Debug)]
struct SharedState {
    settings: Settings,
    store: LazyStore,
    guard: AccessGuard,
    previews: Previews,
    opening: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(settings: Settings) -> Self {
        let guard = AccessGuard::new(&settings);
        let previews = Previews::new(settings.templates_dir.clone());
        let store = LazyStore::new(settings.redis.clone());
        Self(Arc::new(SharedState { store, guard, previews, opening: Arc::new(Semaphore::new(1)), settings }))
    }

    /// Returns the store; [`Error::Away`] before the first connection.
    pub(crate) fn store(&self) -> Result<&Store, Error> {
        self.0.store.get()
    }

    /// Returns the store for the heartbeat, which connects it.
    pub(crate) fn lazy_store(&self) -> &LazyStore {
        &self.0.store
    }

    pub(crate) fn guard(&self) -> &AccessGuard {
        &self.0.guard
    }

    pub(crate) fn previews(&self) -> &Previews {
        &self.0.previews
    }

    /// Waits until no other captured mail is being parsed.
    pub(crate) async fn opening(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.opening).acquire_owned().await.ok()
    }

    /// Returns the current time, to be formatted in the time zone of the settings.
    pub(crate) fn clock(&self) -> TimeFormatter {
        TimeFormatter::now(self.0.settings.timezone)
    }
}

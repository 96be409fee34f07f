//! What all requests share.

use std::{sync::Arc, time::Duration};

use postroom_core::{Error, Settings, Store, store::LazyStore};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{guard::Gate, moment::Clock, preview::Previews};

/// For how long a page may ask Redis before it says that Redis is away.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(4);

/// What all requests share. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    settings: Settings,
    store: LazyStore,
    gate: Gate,
    previews: Previews,
    opening: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(settings: Settings) -> Self {
        let gate = Gate::new(&settings);
        let previews = Previews::new(settings.templates_dir.clone());
        let store = LazyStore::new(settings.redis.clone());
        Self(Arc::new(Parts { store, gate, previews, opening: Arc::new(Semaphore::new(1)), settings }))
    }

    /// The store; [`Error::Away`] until the first connection.
    pub(crate) fn store(&self) -> Result<&Store, Error> {
        self.0.store.get()
    }

    /// The store, for the heartbeat, which connects it.
    pub(crate) fn lazy_store(&self) -> &LazyStore {
        &self.0.store
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    pub(crate) fn previews(&self) -> &Previews {
        &self.0.previews
    }

    /// Waits until no other captured mail is being taken apart.
    pub(crate) async fn opening(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.opening).acquire_owned().await.ok()
    }

    /// Now, told in the zone of the settings.
    pub(crate) fn clock(&self) -> Clock {
        Clock::now(self.0.settings.timezone)
    }
}

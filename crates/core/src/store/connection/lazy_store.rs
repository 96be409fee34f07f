//! A store that connects when it is first used.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::store::Store;
use crate::{Error, Result, settings::RedisSettings};

/// A store that connects when it is first used. Clones share one connection.
#[derive(Debug, Clone)]
pub struct LazyStore {
    settings: RedisSettings,
    store: Arc<OnceCell<Store>>,
}

impl LazyStore {
    /// Creates a store without a connection.
    #[must_use]
    pub fn new(settings: RedisSettings) -> Self {
        Self { settings, store: Arc::default() }
    }

    /// Wraps a store that is connected already.
    #[must_use]
    pub fn connected(settings: RedisSettings, store: Store) -> Self {
        Self { settings, store: Arc::new(OnceCell::new_with(Some(store))) }
    }

    /// Returns the store after connecting if necessary.
    ///
    /// # Errors
    /// As for [`Store::connect`].
    pub async fn connect(&self) -> Result<&Store> {
        self.store.get_or_try_init(|| Store::connect(&self.settings)).await
    }

    /// Returns the store if it was ever connected.
    ///
    /// # Errors
    /// [`Error::Away`] before the first connection.
    pub fn get(&self) -> Result<&Store> {
        self.store.get().ok_or_else(|| Error::Away("no connection yet".to_owned()))
    }
}

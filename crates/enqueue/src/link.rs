//! The connection to the job store, made when it is first needed: what is sent in the foreground needs none.

use std::sync::Arc;

use postroom_core::{Result, Store, settings::RedisSettings};
use tokio::sync::OnceCell;

/// The way to the job store; clones share one connection.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    redis: RedisSettings,
    store: Arc<OnceCell<Store>>,
}

impl Link {
    pub(crate) fn new(redis: RedisSettings) -> Self {
        // Redis over TLS takes the process's provider; that one is installed already is no harm.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { redis, store: Arc::default() }
    }

    pub(crate) async fn store(&self) -> Result<&Store> {
        self.store.get_or_try_init(|| Store::connect(&self.redis)).await
    }
}

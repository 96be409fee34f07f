//! The store, once there is one: Redis may be away when the monitor starts.

use std::sync::OnceLock;

use postroom_core::{Error, Result, Store, settings::RedisSettings};

/// The store, once there is one. A connection that is lost later is opened anew by the store itself.
#[derive(Debug, Default)]
pub(crate) struct Link(OnceLock<Store>);

impl Link {
    /// The store; [`Error::Away`] until the first connection.
    pub(crate) fn store(&self) -> Result<&Store> {
        self.0.get().ok_or_else(|| Error::Away("no connection yet".to_owned()))
    }

    /// The store, connected now if it is not yet.
    pub(crate) async fn connect(&self, redis: &RedisSettings) -> Result<&Store> {
        if self.0.get().is_none() {
            let store = Store::connect(redis).await?;
            // Lost only to another first connection, which is as good.
            let _ = self.0.set(store);
        }
        self.store()
    }
}

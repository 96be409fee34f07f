//! Logins to the monitor, each under the hash of its id: who reads Redis can't use them.

use std::time::Duration;

use super::connection::Store;
use crate::Result;

impl Store {
    /// Records a login, which ends by itself after `lasts`.
    ///
    /// # Errors
    /// [`Error::Away`](crate::Error::Away) when Redis can't be reached.
    pub async fn open_session(&self, hash: &str, lasts: Duration) -> Result<()> {
        self.run(redis::cmd("SET").arg(self.session_key(hash)).arg(1).arg("EX").arg(lasts.as_secs())).await
    }

    /// Whether a login was recorded, and is not over.
    ///
    /// # Errors
    /// [`Error::Away`](crate::Error::Away) when Redis can't be reached.
    pub async fn has_session(&self, hash: &str) -> Result<bool> {
        let found: Option<String> = self.run(redis::cmd("GET").arg(self.session_key(hash))).await?;
        Ok(found.is_some())
    }

    /// Ends a login. Nothing happens when there is none.
    ///
    /// # Errors
    /// [`Error::Away`](crate::Error::Away) when Redis can't be reached.
    pub async fn end_session(&self, hash: &str) -> Result<()> {
        self.run(redis::cmd("UNLINK").arg(self.session_key(hash))).await
    }

    fn session_key(&self, hash: &str) -> String {
        self.keys.system(&format!("session:{hash}"))
    }
}

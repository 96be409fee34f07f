//! Logins to the monitor. Only hashes of session ids are stored, so access to Redis does not give
//! access to sessions.

use std::time::Duration;

use crate::{Result, store::connection::Store};

impl Store {
    /// Records a login that expires after `lasts`.
    ///
    /// # Errors
    /// [`Error::Away`](crate::Error::Away) if Redis can't be reached.
    pub async fn open_session(&self, hash: &str, lasts: Duration) -> Result<()> {
        self.run(redis::cmd("SET").arg(self.session_key(hash)).arg(1).arg("EX").arg(lasts.as_secs())).await
    }

    /// Whether a login exists and has not expired.
    ///
    /// # Errors
    /// [`Error::Away`](crate::Error::Away) if Redis can't be reached.
    pub async fn has_session(&self, hash: &str) -> Result<bool> {
        let found: Option<String> = self.run(redis::cmd("GET").arg(self.session_key(hash))).await?;
        Ok(found.is_some())
    }

    /// Removes a login, if there is one.
    ///
    /// # Errors
    /// [`Error::Away`](crate::Error::Away) if Redis can't be reached.
    pub async fn end_session(&self, hash: &str) -> Result<()> {
        self.run(redis::cmd("UNLINK").arg(self.session_key(hash))).await
    }

    fn session_key(&self, hash: &str) -> String {
        self.keys.system(&format!("session:{hash}"))
    }
}

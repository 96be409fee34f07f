//! Idempotency keys: a caller's own name for a mail or a bulk, so that a repeated request sends it
//! once.

use std::time::Duration;

use crate::{
    Error, Result,
    store::{
        connection::Store,
        script::{Args, ReplyWords, Script, unexpected},
    },
    time::millis,
};

/// Lifetime of a key. The tombstone of a finished job lives at least as long.
const WINDOW: Duration = Duration::from_secs(24 * 3_600);

/// Result of reserving an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyReservation {
    /// The key is new. Enqueue under this id.
    New(String),
    /// The key is known with the same content. Enqueueing again under this id completes the first
    /// request.
    Known(String),
}

impl KeyReservation {
    /// Returns the id to enqueue under.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::New(id) | Self::Known(id) => id,
        }
    }
}

impl Store {
    /// Reserves `key` for `id`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the key was used for other content.
    pub async fn reserve(&self, key: &str, id: &str, fingerprint: &str) -> Result<KeyReservation> {
        let mut args = Args::of([id, fingerprint]);
        args.push(millis(WINDOW));
        let mut reply = ReplyWords::new(self.call_at(Script::Reserve, self.keys.idempotency(key), args).await?);
        let (word, id): (String, String) = (reply.next()?, reply.next()?);
        match word.as_str() {
            "reserved" => Ok(KeyReservation::New(id)),
            "known" => Ok(KeyReservation::Known(id)),
            "conflict" => {
                Err(Error::Conflict(format!("the key {key:?} was used for {id}, which has different content")))
            }
            other => Err(unexpected(other)),
        }
    }
}

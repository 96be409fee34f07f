//! Idempotency keys: the caller's own name for a mail or a bulk, so that saying it twice sends it once.

use std::time::Duration;

use super::{
    connection::{Args, Store},
    enqueue::millis,
    reply::{Words, unexpected},
};
use crate::{Error, Result};

/// For how long a key is remembered; a finished job's tombstone lasts no shorter.
const WINDOW: Duration = Duration::from_secs(24 * 3_600);

/// A key's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reservation {
    /// The key is new: enqueue under this id.
    New(String),
    /// The key was used for the same content: whoever finds it completes it under this id.
    Known(String),
}

impl Reservation {
    /// The id to enqueue under.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::New(id) | Self::Known(id) => id,
        }
    }
}

impl Store {
    /// Keeps the place of `key` for `id`; [`Error::Conflict`] when the key stands for other content.
    pub async fn reserve(&self, key: &str, id: &str, fingerprint: &str) -> Result<Reservation> {
        let mut args = Args::of([id, fingerprint]);
        args.push(millis(WINDOW));
        let mut reply = Words::new(self.call_at("reserve", self.keys.idempotency(key), args).await?);
        let (word, id): (String, String) = (reply.next()?, reply.next()?);
        match word.as_str() {
            "reserved" => Ok(Reservation::New(id)),
            "known" => Ok(Reservation::Known(id)),
            "conflict" => Err(Error::Conflict(format!("the key {key:?} was used for {id}, which has other content"))),
            other => Err(unexpected(other)),
        }
    }
}

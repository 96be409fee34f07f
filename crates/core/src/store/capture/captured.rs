//! Mail stored by the `capture` transport: a development inbox limited in number, bytes and age.

use serde::Serialize;
use ulid::Ulid;

use super::{
    mail::{Captured, CapturedMail},
    summary::{CapturedSummary, Summary},
};
use crate::{
    Error, Result,
    store::{
        connection::Store,
        script::{Args, LossyText, Script, unexpected},
    },
};

/// Maximum number of captured mails.
const CAP: usize = 1_000;
/// Maximum number of stored bytes. The stored form is a third larger than the message.
const CAP_BYTES: usize = 700_000_000;
/// Maximum number of mails removed by one capture; the rest expires.
const MOST_REMOVED: usize = 200;
/// Lifetime of a captured mail: one week.
const KEEP_S: u64 = 7 * 86_400;

impl Store {
    /// Stores a mail and returns its id. The oldest mails are removed when a limit is exceeded.
    ///
    /// # Errors
    /// [`Error::Full`] if Redis is out of memory.
    pub async fn capture(&self, mail: &CapturedMail) -> Result<String> {
        let id = Ulid::generate().to_string();
        let mut args = Args::default();
        args.push(&id).push(json(mail)?).push(json(&Summary::of(mail))?);
        args.push(KEEP_S).push(CAP).push(CAP_BYTES).push(MOST_REMOVED);
        match self.call_at::<String>(Script::Capture, self.keys.system_base(), args).await?.as_str() {
            "kept" => Ok(id),
            other => Err(unexpected(other)),
        }
    }

    /// Returns summaries of the captured mails, the latest first, without reading the messages.
    ///
    /// # Errors
    /// [`Error::Away`] if Redis can't be reached.
    pub async fn captured(&self, offset: usize, limit: usize) -> Result<Vec<CapturedSummary>> {
        let list = self.keys.system("captured");
        let last = offset.saturating_add(limit).saturating_sub(1);
        let ids: Vec<LossyText> = self.run(redis::cmd("LRANGE").arg(list).arg(offset).arg(last)).await?;
        if ids.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = ids.into_iter().map(|id| id.0).collect();
        self.captured_summaries(&ids).await
    }

    /// Reads one captured mail with its message.
    ///
    /// # Errors
    /// [`Error::Away`] if Redis can't be reached.
    pub async fn captured_mail(&self, id: &str) -> Result<Option<Captured>> {
        let json: Option<String> = self.run(redis::cmd("GET").arg(self.captured_key(id))).await?;
        Ok(json.and_then(|json| Captured::read(id, &json)))
    }

    pub(in crate::store) fn captured_key(&self, id: &str) -> String {
        self.keys.system(&format!("captured:{id}"))
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Protocol(error.to_string()))
}

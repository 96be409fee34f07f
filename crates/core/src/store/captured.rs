//! Mail stored by the `capture` transport: a development inbox limited in number, bytes and age.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{
    captured_summary::{CapturedSummary, Summary},
    connection::{Args, Store},
    reply::{LossyText, unexpected},
};
use crate::{EmailAddress, Error, Result};

/// Maximum number of captured mails.
const CAP: usize = 1_000;
/// Maximum number of stored bytes. The stored form is a third larger than the message.
const CAP_BYTES: usize = 700_000_000;
/// Maximum number of mails removed by one capture; the rest expires.
const MOST_REMOVED: usize = 200;
/// Lifetime of a captured mail: one week.
const KEEP_S: u64 = 7 * 86_400;

/// A mail to capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedMail {
    /// Sender of the envelope.
    pub mail_from: Option<EmailAddress>,
    /// Recipients of the envelope.
    pub rcpt_to: Vec<EmailAddress>,
    /// Subject shown in the list.
    pub subject: String,
    /// The complete message. It must stay the last field: without a summary, only the bytes before
    /// it are read.
    #[serde(with = "as_base64")]
    pub message: Vec<u8>,
}

/// A captured mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Id of the captured mail.
    pub id: String,
    /// Time of capture (Unix milliseconds).
    pub at_ms: i64,
    /// The mail.
    pub mail: CapturedMail,
}

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
        match self.call_at::<String>("capture", self.keys.system_base(), args).await?.as_str() {
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
        Ok(json.and_then(|json| read(id, &json)))
    }

    pub(super) fn captured_key(&self, id: &str) -> String {
        self.keys.system(&format!("captured:{id}"))
    }
}

/// Time of capture in Unix milliseconds, taken from the id (a ULID).
pub(super) fn captured_at_ms(id: &str) -> Option<i64> {
    i64::try_from(id.parse::<Ulid>().ok()?.timestamp_ms()).ok()
}

fn read(id: &str, json: &str) -> Option<Captured> {
    Some(Captured { id: id.to_owned(), at_ms: captured_at_ms(id)?, mail: serde_json::from_str(json).ok()? })
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Protocol(error.to_string()))
}

mod as_base64 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{Engine, STANDARD};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], output: S) -> Result<S::Ok, S::Error> {
        output.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(input)?).map_err(D::Error::custom)
    }
}

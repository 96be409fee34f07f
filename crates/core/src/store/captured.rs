//! Mail that the `capture` transport kept: an inbox for development, capped.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{connection::Store, reply::Text};
use crate::{EmailAddress, Result};

/// How many captured mails are kept.
const CAP: usize = 1_000;
/// For how long: a week.
const KEEP_S: u64 = 7 * 86_400;

/// A mail to keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedMail {
    /// The envelope's sender.
    pub mail_from: Option<EmailAddress>,
    /// The envelope's recipients.
    pub rcpt_to: Vec<EmailAddress>,
    /// The subject, for the list.
    pub subject: String,
    /// The whole message.
    #[serde(with = "as_base64")]
    pub message: Vec<u8>,
}

/// A mail that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Its name.
    pub id: String,
    /// When it was captured (Unix milliseconds).
    pub at_ms: i64,
    /// The mail.
    pub mail: CapturedMail,
}

impl Store {
    /// Keeps a mail; the oldest goes when there are too many.
    pub async fn capture(&self, mail: &CapturedMail) -> Result<String> {
        let id = Ulid::generate().to_string();
        let json = serde_json::to_string(mail).map_err(|error| crate::Error::Protocol(error.to_string()))?;
        let list = self.keys.system("captured");
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        pipeline.cmd("SET").arg(self.captured_key(&id)).arg(json).arg("EX").arg(KEEP_S).ignore();
        pipeline.cmd("LPUSH").arg(&list).arg(&id).ignore();
        // What falls off the end expires by itself.
        pipeline.cmd("LTRIM").arg(&list).arg(0).arg(CAP - 1).ignore();
        self.run_all::<()>(&pipeline).await?;
        Ok(id)
    }

    /// The captured mails, the latest first.
    pub async fn captured(&self, offset: usize, limit: usize) -> Result<Vec<Captured>> {
        let list = self.keys.system("captured");
        let ids: Vec<Text> = self.run(redis::cmd("LRANGE").arg(list).arg(offset).arg(offset + limit - 1)).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = ids.iter().map(|id| self.captured_key(&id.0)).collect();
        let found: Vec<Option<Text>> = self.run(redis::cmd("MGET").arg(keys)).await?;
        Ok(ids.iter().zip(found).filter_map(|(id, json)| read(&id.0, &json?.0)).collect())
    }

    /// One captured mail.
    pub async fn captured_mail(&self, id: &str) -> Result<Option<Captured>> {
        let json: Option<String> = self.run(redis::cmd("GET").arg(self.captured_key(id))).await?;
        Ok(json.and_then(|json| read(id, &json)))
    }

    fn captured_key(&self, id: &str) -> String {
        self.keys.system(&format!("captured:{id}"))
    }
}

fn read(id: &str, json: &str) -> Option<Captured> {
    let at_ms = i64::try_from(id.parse::<Ulid>().ok()?.timestamp_ms()).ok()?;
    Some(Captured { id: id.to_owned(), at_ms, mail: serde_json::from_str(json).ok()? })
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

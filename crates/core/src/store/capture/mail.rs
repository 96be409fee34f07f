//! Captured mails and their stored form.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::EmailAddress;

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

/// Time of capture in Unix milliseconds, taken from the id (a ULID).
pub(in crate::store) fn captured_at_ms(id: &str) -> Option<i64> {
    i64::try_from(id.parse::<Ulid>().ok()?.timestamp_ms()).ok()
}

impl Captured {
    /// Reads the stored form of a mail; `None` if it can't be read.
    pub(super) fn read(id: &str, json: &str) -> Option<Self> {
        Some(Self { id: id.to_owned(), at_ms: captured_at_ms(id)?, mail: serde_json::from_str(json).ok()? })
    }
}

mod as_base64 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{Engine, STANDARD};

    pub(in crate::store) fn serialize<S: Serializer>(bytes: &[u8], output: S) -> Result<S::Ok, S::Error> {
        output.serialize_str(&STANDARD.encode(bytes))
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(input)?).map_err(D::Error::custom)
    }
}

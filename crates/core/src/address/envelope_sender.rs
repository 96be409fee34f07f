//! The address that bounces go to.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{email_address::EmailAddress, invisible::stripped};
use crate::InvalidInput;

/// Sender of an SMTP envelope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EnvelopeSender {
    /// `<>`: no bounce is sent.
    Null,
    /// Address that bounces are sent to.
    Address(EmailAddress),
}

/// Envelope sender as it is set: an address, `<>`, or an address with `{id}` before the `@`, as in
/// `bounces+{id}@example.org`. The id is the job's (variable envelope return path, VERP).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvelopePattern(EnvelopeSender);

/// Placeholder of the job's id.
const ID: &str = "{id}";

impl EnvelopePattern {
    /// Returns the envelope sender of a job.
    ///
    /// # Errors
    /// Returns an error if the address is too long with this id.
    pub fn of_job(&self, id: &str) -> Result<EnvelopeSender, InvalidInput> {
        let address = match &self.0 {
            EnvelopeSender::Address(address) if address.local().contains(ID) => address,
            sender => return Ok(sender.clone()),
        };
        let filled = address.as_str().replace(ID, id).parse().map_err(|error: InvalidInput| {
            InvalidInput::new("envelope_from", format!("with the job's id {}", error.problem))
        })?;
        Ok(EnvelopeSender::Address(filled))
    }
}

impl EnvelopeSender {
    /// Address of the sender; `None` for `<>`.
    #[must_use]
    pub fn address(&self) -> Option<&EmailAddress> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }
}

impl FromStr for EnvelopePattern {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        if stripped(text) == "<>" {
            return Ok(Self(EnvelopeSender::Null));
        }
        let or_null = |error: InvalidInput| {
            InvalidInput::new("envelope_from", format!("{}; it may be an address or <>", error.problem))
        };
        let address: EmailAddress = text.parse().map_err(or_null)?;
        if address.local().replace(ID, "").contains(['{', '}']) {
            let problem = format!("{address} has a placeholder other than {ID}, which stands for the job's id");
            return Err(InvalidInput::new("envelope_from", problem));
        }
        Ok(Self(EnvelopeSender::Address(address)))
    }
}

impl fmt::Display for EnvelopeSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.address().map_or("<>", EmailAddress::as_str))
    }
}

impl fmt::Display for EnvelopePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for EnvelopePattern {
    type Error = InvalidInput;

    fn try_from(text: String) -> Result<Self, InvalidInput> {
        text.parse()
    }
}

impl From<EnvelopePattern> for String {
    fn from(pattern: EnvelopePattern) -> Self {
        pattern.to_string()
    }
}

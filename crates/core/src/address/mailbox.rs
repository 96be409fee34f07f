//! Addresses with display names.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{email_address::EmailAddress, invisible::stripped};
use crate::InvalidInput;

/// An address with a display name: `Żaneta <zaneta@example.org>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox {
    /// Display name, if any.
    pub name: Option<String>,
    /// E-mail address.
    pub address: EmailAddress,
}

/// Mailboxes of one text, as in `Ann <ann@example.org>, ben@example.org`. A group contributes its
/// members, so `undisclosed-recipients:;` is an empty list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct MailboxList(pub Vec<Mailbox>);

impl From<EmailAddress> for Mailbox {
    fn from(address: EmailAddress) -> Self {
        Self { name: None, address }
    }
}

/// Whether a name is read back unchanged without quotes.
fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || c == ' ' || c == '-' || c == '_' || !c.is_ascii();
    name.chars().all(is_plain) && !name.contains("  ") && stripped(name).len() == name.len()
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            None => self.address.fmt(f),
            Some(name) if is_plain(name) => write!(f, "{name} <{}>", self.address),
            Some(name) => {
                let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
                write!(f, "\"{quoted}\" <{}>", self.address)
            }
        }
    }
}

impl TryFrom<String> for Mailbox {
    type Error = InvalidInput;

    fn try_from(text: String) -> Result<Self, InvalidInput> {
        text.parse()
    }
}

impl From<Mailbox> for String {
    fn from(mailbox: Mailbox) -> Self {
        mailbox.to_string()
    }
}

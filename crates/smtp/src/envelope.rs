//! Who a mail is from and who it goes to, as told to the server.

use thiserror::Error;

use crate::address::Address;

/// A sender and at least one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    mail_from: Option<Address>,
    rcpt_to: Vec<Address>,
}

/// An envelope that nobody would get.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("an envelope needs at least one recipient")]
pub struct NoRecipient;

impl Envelope {
    /// `mail_from` is where bounces go; `None` is the null sender `<>` of bounces themselves.
    pub fn new(mail_from: Option<Address>, rcpt_to: Vec<Address>) -> Result<Self, NoRecipient> {
        if rcpt_to.is_empty() {
            return Err(NoRecipient);
        }
        Ok(Self { mail_from, rcpt_to })
    }

    /// The sender, `None` for `<>`.
    #[must_use]
    pub fn mail_from(&self) -> Option<&Address> {
        self.mail_from.as_ref()
    }

    /// The recipients, never empty.
    #[must_use]
    pub fn rcpt_to(&self) -> &[Address] {
        &self.rcpt_to
    }

    /// The first address that only a server with SMTPUTF8 can take.
    pub(crate) fn needs_smtputf8(&self) -> Option<&Address> {
        self.mail_from.iter().chain(&self.rcpt_to).find(|address| address.needs_smtputf8())
    }
}

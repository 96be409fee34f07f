//! Envelope of a mail: sender and recipients.

use thiserror::Error;

use crate::address::Address;

/// Maximum number of recipients in one pipelined write. With more, both sides could block while
/// writing.
pub(crate) const MAX_PIPELINED_RECIPIENTS: usize = 50;

/// Sender and at least one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    mail_from: Option<Address>,
    rcpt_to: Vec<Address>,
}

/// Error: the envelope has no recipient.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("an envelope needs at least one recipient")]
pub struct NoRecipient;

impl Envelope {
    /// Creates an envelope. Bounces go to `mail_from`; `None` is the null sender `<>`, which
    /// bounces themselves use.
    ///
    /// # Errors
    /// Returns an error if there is no recipient.
    pub fn new(mail_from: Option<Address>, rcpt_to: Vec<Address>) -> Result<Self, NoRecipient> {
        if rcpt_to.is_empty() {
            return Err(NoRecipient);
        }
        Ok(Self { mail_from, rcpt_to })
    }

    /// Sender; `None` for `<>`.
    #[must_use]
    pub fn mail_from(&self) -> Option<&Address> {
        self.mail_from.as_ref()
    }

    /// Recipients, never empty.
    #[must_use]
    pub fn rcpt_to(&self) -> &[Address] {
        &self.rcpt_to
    }

    /// Whether the commands of the envelope fit into one pipelined write.
    pub(crate) fn fits_one_write(&self) -> bool {
        self.rcpt_to.len() <= MAX_PIPELINED_RECIPIENTS
    }

    /// First address that requires a server with SMTPUTF8.
    pub(crate) fn needs_smtputf8(&self) -> Option<&Address> {
        self.mail_from.iter().chain(&self.rcpt_to).find(|address| address.needs_smtputf8())
    }
}

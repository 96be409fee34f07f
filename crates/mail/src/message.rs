//! A composed mail.

use std::sync::Arc;

use postroom_core::{EmailAddress, Mail, Mailbox};

use crate::Rendered;

/// What is fixed for a mail before its first attempt, so that every attempt sends the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The Message-ID, without angle brackets.
    pub message_id: String,
    /// The `Date`, in milliseconds since 1970.
    pub date_ms: i64,
    /// What the MIME boundaries are made from: something that nobody outside can guess.
    pub boundary_seed: String,
    /// Raised when a person has it sent once more, though it may have been sent: for a provider it is another mail then.
    pub generation: u32,
}

/// Who a message goes to, and where its bounces go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The sender.
    pub mail_from: EmailAddress,
    /// Everybody who gets it, those in Bcc too.
    pub rcpt_to: Vec<EmailAddress>,
}

/// Bytes to be sent, their envelope, and what they were made from, for providers that want parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The Message-ID, without angle brackets.
    pub message_id: String,
    /// The one of its [`Identity`].
    pub generation: u32,
    /// Whether it goes before others that wait for a connection.
    pub urgent: bool,
    /// Who it goes to.
    pub envelope: Envelope,
    /// Headers and body, in lines that end with CRLF.
    pub bytes: Vec<u8>,
    /// Who it is from.
    pub from: Mailbox,
    /// What was composed.
    pub mail: Arc<Mail>,
    /// Its words, as they were rendered.
    pub words: Rendered,
}

//! A composed mail.

use std::sync::Arc;

use postroom_core::{EmailAddress, Mail, Mailbox};

use crate::Rendered;

/// Values fixed before the first attempt of a mail, so that every attempt sends the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The Message-ID, without angle brackets.
    pub message_id: String,
    /// Time of the `Date` header, in milliseconds since 1970.
    pub date_ms: i64,
    /// Seed of the MIME boundaries; must not be guessable from outside.
    pub boundary_seed: String,
    /// Number of times a person has requested to send the mail again. A provider treats each
    /// generation as a different mail.
    pub generation: u32,
}

/// SMTP envelope: sender and recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageEnvelope {
    /// Sender, which receives bounces.
    pub mail_from: EmailAddress,
    /// All recipients, including those in Bcc.
    pub rcpt_to: Vec<EmailAddress>,
}

/// Composed message: bytes and envelope, plus their source for providers that take separate fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The Message-ID, without angle brackets.
    pub message_id: String,
    /// Generation of its [`Identity`].
    pub generation: u32,
    /// Whether the message precedes others that wait for a connection.
    pub urgent: bool,
    /// Sender and recipients of the SMTP transaction.
    pub envelope: MessageEnvelope,
    /// Headers and body; lines end with CRLF.
    pub bytes: Vec<u8>,
    /// Sender in the `From` header.
    pub from: Mailbox,
    /// Mail that the message was composed from.
    pub mail: Arc<Mail>,
    /// Rendered subject, text and HTML.
    pub rendered: Rendered,
}

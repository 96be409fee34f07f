//! A composed mail.

use std::sync::Arc;

use postroom_core::{EmailAddress, EnvelopePattern, EnvelopeSender, InvalidInput, Mail, Mailbox};

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
    /// Sender that the mail names; `None` for the transport's, or else the address in `From`.
    pub sender: Option<EnvelopeSender>,
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
    /// Whether the header requires SMTPUTF8.
    pub header_charset: HeaderCharset,
    /// Sender in the `From` header.
    pub from: Mailbox,
    /// Mail that the message was composed from.
    pub mail: Arc<Mail>,
    /// Rendered subject, text and HTML.
    pub rendered: Rendered,
}

/// Whether the header of a message requires SMTPUTF8: an address with a non-ASCII local part can't
/// be encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderCharset {
    /// The header is ASCII.
    Ascii,
    /// `From`, `Reply-To` or a header of the mail requires SMTPUTF8.
    Utf8,
    /// Only `To` or `Cc` requires SMTPUTF8. A server without it gets a form that names the
    /// recipients that it can reach.
    Utf8Or(AsciiForm),
}

/// Form of a message for a server without SMTPUTF8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsciiForm {
    /// Header fields that replace those before `body_at`.
    pub(crate) header: Vec<u8>,
    /// Position in the message at which the unchanged rest begins.
    pub(crate) body_at: usize,
}

impl Message {
    /// Id of the job: the left part of the Message-ID.
    #[must_use]
    pub fn job_id(&self) -> &str {
        self.message_id.split('@').next().unwrap_or_default()
    }

    /// Sender of the envelope: the mail's, or else the transport's, or else the address in `From`.
    ///
    /// # Errors
    /// Returns an error if the transport's pattern is too long with the job's id.
    pub fn envelope_sender(&self, of_transport: Option<&EnvelopePattern>) -> Result<EnvelopeSender, InvalidInput> {
        match (&self.envelope.sender, of_transport) {
            (Some(sender), _) => Ok(sender.clone()),
            (None, Some(pattern)) => pattern.of_job(self.job_id()),
            (None, None) => Ok(EnvelopeSender::Address(self.from.address.clone())),
        }
    }
}

impl AsciiForm {
    /// Returns the message in this form.
    pub(crate) fn of(&self, message: &Message) -> Vec<u8> {
        [&self.header, &message.bytes[self.body_at..]].concat()
    }
}

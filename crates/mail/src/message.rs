//! A composed mail.

use postroom_core::EmailAddress;

/// What is fixed for a mail before its first attempt, so that every attempt sends the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The Message-ID, without angle brackets.
    pub message_id: String,
    /// The `Date`, in milliseconds since 1970.
    pub date_ms: i64,
    /// What the MIME boundaries are made from: something that nobody outside can guess.
    pub boundary_seed: String,
}

/// Who a message goes to, and where its bounces go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The sender.
    pub mail_from: EmailAddress,
    /// Everybody who gets it, those in Bcc too.
    pub rcpt_to: Vec<EmailAddress>,
}

/// Bytes to be sent, and their envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The Message-ID, without angle brackets.
    pub message_id: String,
    /// The subject, as a person reads it.
    pub subject: String,
    /// Who it goes to.
    pub envelope: Envelope,
    /// Headers and body, in lines that end with CRLF.
    pub bytes: Vec<u8>,
}

//! Composes a mail into bytes: RFC 5322 and MIME, 7-bit lines that end with CRLF.

mod boundary;
mod encoding;
mod file_headers;
mod header;
mod mailboxes;
mod media_type;
mod parts;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use lettre::message::header::{Date, Headers, MessageId};
use postroom_core::{InvalidInput, Mail, Mailbox};

use self::mailboxes::set_mailboxes;
use crate::{Identity, Message, MessageEnvelope, Rendered};

/// Reason why a mail can't be composed. All of them are permanent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// The mail has no sender, and no default sender is set.
    #[error("the mail has no sender: it has no `from`, and SMTP_MAIL_FROM is not set")]
    NoSender,
    /// A field of the mail is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// The message exceeds the size limit.
    #[error("the message has {size} bytes; MAX_MESSAGE_SIZE allows {limit}")]
    TooLarge {
        /// Size of the message, in bytes.
        size: u64,
        /// Maximum size, in bytes.
        limit: u64,
    },
}

/// Composes a mail. The same input gives the same bytes, so every attempt sends the same message.
///
/// Bcc addresses appear in the envelope only. `Auto-Submitted: auto-generated` is added unless the
/// mail sets that header.
///
/// # Errors
///
/// Returns an error if the mail has no sender or an invalid field.
pub fn compose(
    mail: &Arc<Mail>,
    rendered: Rendered,
    identity: &Identity,
    default_sender: Option<&Mailbox>,
) -> Result<Message, ComposeError> {
    mail.check()?;
    let from = mail.from.as_ref().or(default_sender).ok_or(ComposeError::NoSender)?;
    from.check("from")?;
    let rendered = rendered.with_headers_of(mail);
    let mut bytes = headers(mail, from, &rendered, identity)?;
    parts::append(&mut bytes, &rendered, &mail.attachments, &identity.boundary_seed)?;
    Ok(Message {
        message_id: identity.message_id.clone(),
        generation: identity.generation,
        urgent: false,
        envelope: envelope(mail, from),
        bytes,
        from: from.clone(),
        mail: Arc::clone(mail),
        rendered,
    })
}

impl From<ComposeError> for InvalidInput {
    fn from(error: ComposeError) -> Self {
        match error {
            ComposeError::NoSender => Self::new("from", error.to_string()),
            ComposeError::Invalid(problem) => problem,
            ComposeError::TooLarge { .. } => Self::new("text", error.to_string()),
        }
    }
}

impl Message {
    /// Returns the message if its size is within the limit.
    ///
    /// # Errors
    ///
    /// Returns [`ComposeError::TooLarge`] if the message has more than `limit` bytes.
    pub fn within(self, limit: u64) -> Result<Self, ComposeError> {
        let size = self.bytes.len() as u64;
        if size <= limit { Ok(self) } else { Err(ComposeError::TooLarge { size, limit }) }
    }
}

fn envelope(mail: &Mail, from: &Mailbox) -> MessageEnvelope {
    MessageEnvelope { mail_from: from.address.clone(), rcpt_to: mail.recipients().into_iter().cloned().collect() }
}

fn headers(mail: &Mail, from: &Mailbox, rendered: &Rendered, identity: &Identity) -> Result<Vec<u8>, InvalidInput> {
    let mut headers = Headers::new();
    headers.set(Date::new(date(identity.date_ms)));
    headers.set(MessageId::from(format!("<{}>", header::one_word("message_id", &identity.message_id)?)));
    set_mailboxes(&mut headers, "From", std::slice::from_ref(from));
    set_mailboxes(&mut headers, "To", &mail.to);
    set_mailboxes(&mut headers, "Cc", &mail.cc);
    if mail.to.is_empty() && mail.cc.is_empty() {
        header::set_text(&mut headers, "To", "undisclosed-recipients:;")?;
    }
    set_mailboxes(&mut headers, "Reply-To", &mail.reply_to);
    header::set_text(&mut headers, "Subject", &rendered.subject)?;
    header::set_text(&mut headers, "Auto-Submitted", "auto-generated")?;
    header::set_own(&mut headers, &rendered.headers)?;
    header::set_text(&mut headers, "MIME-Version", "1.0")?;
    Ok(headers.to_string().into_bytes())
}

fn date(ms: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

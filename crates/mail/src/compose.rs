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
use crate::{
    Identity, Message, MessageEnvelope, Rendered,
    message::{AsciiForm, HeaderCharset},
};

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
    let mut bytes = headers(mail, from, &rendered, identity)?;
    let header_charset = header_charset(&bytes, mail, from, &rendered, identity)?;
    parts::append(&mut bytes, &rendered, &mail.attachments, &identity.boundary_seed)?;
    Ok(Message {
        message_id: identity.message_id.clone(),
        generation: identity.generation,
        urgent: false,
        envelope: envelope(mail, identity)?,
        bytes,
        header_charset,
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

fn envelope(mail: &Mail, identity: &Identity) -> Result<MessageEnvelope, InvalidInput> {
    let id = identity.message_id.split('@').next().unwrap_or_default();
    let sender = mail.envelope_from.as_ref().map(|pattern| pattern.of_job(id)).transpose()?;
    Ok(MessageEnvelope { sender, rcpt_to: mail.recipients().into_iter().cloned().collect() })
}

/// Returns whether the header requires SMTPUTF8, and its form for servers without it.
fn header_charset(
    header: &[u8],
    mail: &Mail,
    from: &Mailbox,
    rendered: &Rendered,
    identity: &Identity,
) -> Result<HeaderCharset, InvalidInput> {
    if header.is_ascii() {
        return Ok(HeaderCharset::Ascii);
    }
    let ascii = |list: &[Mailbox]| list.iter().filter(|one| !one.address.needs_smtputf8()).cloned().collect();
    let reduced = Mail {
        to: ascii(&mail.to),
        cc: ascii(&mail.cc),
        reply_to: mail.reply_to.clone(),
        headers: mail.headers.clone(),
        ..Mail::default()
    };
    let short = headers(&reduced, from, rendered, identity)?;
    let form = AsciiForm { body_at: header.len(), header: short };
    Ok(if form.header.is_ascii() { HeaderCharset::Utf8Or(form) } else { HeaderCharset::Utf8 })
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
    header::set_own(&mut headers, &mail.headers)?;
    header::set_text(&mut headers, "MIME-Version", "1.0")?;
    Ok(headers.to_string().into_bytes())
}

fn date(ms: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

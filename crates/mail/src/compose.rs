//! Mail and words to bytes: RFC 5322 and MIME, in 7-bit lines that end with CRLF.

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
use crate::{Envelope, Identity, Message, Rendered};

/// Why a mail can't be composed. It will not get better by trying again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// Nobody said who it is from.
    #[error("the mail has no sender: it has no `from`, and SMTP_MAIL_FROM is not set")]
    NoSender,
    /// A field of the mail that it may not have so.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// It is larger than a message may be.
    #[error("the message has {size} bytes; MAX_MESSAGE_SIZE allows {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The most that is allowed.
        limit: u64,
    },
}

/// Composes a mail. The same input makes the same bytes, so every attempt sends the same message.
///
/// Bcc goes into the envelope alone. `Auto-Submitted` says that a machine wrote the mail, unless the mail says otherwise.
pub fn compose(
    mail: &Arc<Mail>,
    words: Rendered,
    identity: &Identity,
    default_sender: Option<&Mailbox>,
) -> Result<Message, ComposeError> {
    mail.check()?;
    let from = mail.from.as_ref().or(default_sender).ok_or(ComposeError::NoSender)?;
    from.check("from")?;
    let mut bytes = headers(mail, from, &words, identity)?;
    parts::append(&mut bytes, &words, &mail.attachments, &identity.boundary_seed)?;
    Ok(Message {
        message_id: identity.message_id.clone(),
        generation: identity.generation,
        urgent: false,
        envelope: envelope(mail, from),
        bytes,
        from: from.clone(),
        mail: Arc::clone(mail),
        words,
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
    /// The message, unless it is larger than this.
    ///
    /// # Errors
    ///
    /// [`ComposeError::TooLarge`].
    pub fn within(self, limit: u64) -> Result<Self, ComposeError> {
        let size = self.bytes.len() as u64;
        if size <= limit { Ok(self) } else { Err(ComposeError::TooLarge { size, limit }) }
    }
}

fn envelope(mail: &Mail, from: &Mailbox) -> Envelope {
    Envelope { mail_from: from.address.clone(), rcpt_to: mail.recipients().into_iter().cloned().collect() }
}

fn headers(mail: &Mail, from: &Mailbox, words: &Rendered, identity: &Identity) -> Result<Vec<u8>, InvalidInput> {
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
    header::set_text(&mut headers, "Subject", &words.subject)?;
    header::set_text(&mut headers, "Auto-Submitted", "auto-generated")?;
    header::set_own(&mut headers, &mail.headers)?;
    header::set_text(&mut headers, "MIME-Version", "1.0")?;
    Ok(headers.to_string().into_bytes())
}

fn date(ms: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

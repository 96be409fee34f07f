//! Composes a mail into bytes: RFC 5322 and MIME, 7-bit lines that end with CRLF.

mod boundary;
mod encoded_word;
mod encoding;
mod file_part;
mod header_writer;
mod media_type;
mod part_headers;
mod parts;

use std::sync::Arc;

use chrono::DateTime;
use postroom_core::{InvalidInput, Mail, Mailbox, header_fields};

use self::header_writer::HeaderWriter;
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
    let rendered = rendered.with_headers_of(mail);
    let mut bytes = headers(mail, from, &rendered, identity)?;
    let header_charset = header_charset(&bytes, mail, from, &rendered, identity)?;
    parts::append(&mut bytes, &rendered, &mail.attachments, &identity.boundary_seed);
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
    let mut headers = HeaderWriter::with_capacity(1024);
    headers.literal("Date", &date(identity.date_ms));
    headers.literal("Message-ID", &format!("<{}>", one_word("message_id", &identity.message_id)?));
    headers.mailboxes("From", std::slice::from_ref(from));
    headers.mailboxes("To", &mail.to);
    headers.mailboxes("Cc", &mail.cc);
    if mail.to.is_empty() && mail.cc.is_empty() {
        headers.literal("To", "undisclosed-recipients:;");
    }
    headers.mailboxes("Reply-To", &mail.reply_to);
    headers.text("Subject", &rendered.subject);
    let mut is_marked = false;
    for form in header_fields(&rendered.headers) {
        let (name, form) = form?;
        is_marked |= name.eq_ignore_ascii_case("Auto-Submitted");
        headers.form(name, &form);
    }
    if !is_marked {
        headers.literal("Auto-Submitted", "auto-generated");
    }
    headers.literal("MIME-Version", "1.0");
    Ok(headers.into_bytes())
}

/// Time in the format of RFC 5322 §3.3, in UTC.
fn date(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms.max(0)).unwrap_or_default().format("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// Returns a value of a structured header if it is a single word of visible ASCII.
fn one_word<'a>(field: &str, value: &'a str) -> Result<&'a str, InvalidInput> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>') {
        return Ok(value);
    }
    let problem = format!("{value:?} is invalid; it may have visible ASCII characters other than < and >");
    Err(InvalidInput::new(field, problem))
}

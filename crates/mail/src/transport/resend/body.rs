//! JSON body of a request to Resend.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use postroom_core::{Attachment, Mailbox, header_fields};
use serde::{Serialize, Serializer};

use super::addressing::Addressing;
use crate::Message;

#[derive(Serialize)]
struct EmailRequest<'a> {
    from: &'a Mailbox,
    to: &'a [&'a Mailbox],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cc: &'a [&'a Mailbox],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    bcc: &'a [&'a Mailbox],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reply_to: &'a [Mailbox],
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<&'a str>,
    /// Absent text would be made from the HTML by Resend; an empty one is not.
    text: &'a str,
    headers: BTreeMap<&'a str, Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<EmailAttachment<'a>>,
}

#[derive(Serialize)]
struct EmailAttachment<'a> {
    filename: Cow<'a, str>,
    #[serde(serialize_with = "as_base64")]
    content: &'a [u8],
    /// MIME type. Without it Resend derives the type from the name, and silently drops a mail whose
    /// type contradicts the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_id: Option<&'a str>,
}

/// JSON of a request. The same mail gives the same bytes, as its idempotency key requires.
pub(super) fn of(message: &Message, addressing: &Addressing<'_>) -> serde_json::Result<Vec<u8>> {
    let (mail, rendered) = (&message.mail, &message.rendered);
    let message_id = format!("<{}>", message.message_id);
    serde_json::to_vec(&EmailRequest {
        from: &message.from,
        to: &addressing.to,
        cc: &addressing.cc,
        bcc: &addressing.bcc,
        reply_to: &mail.reply_to,
        subject: &rendered.subject,
        html: rendered.html.as_deref(),
        text: &rendered.text,
        headers: headers(message, &message_id),
        attachments: mail.attachments.iter().map(|file| EmailAttachment::of(file, rendered.html.is_some())).collect(),
    })
}

/// Headers of the mail, plus the default ones that it does not override.
fn headers<'a>(message: &'a Message, message_id: &'a str) -> BTreeMap<&'a str, Cow<'a, str>> {
    const MARK: &str = "Auto-Submitted";
    // The mail was composed, so its headers are valid.
    let own = header_fields(&message.rendered.headers).flatten();
    let mut all: BTreeMap<_, Cow<'a, str>> = own.map(|(name, form)| (name, form.into_text())).collect();
    if !all.keys().any(|name| name.eq_ignore_ascii_case(MARK)) {
        all.insert(MARK, "auto-generated".into());
    }
    all.insert("Message-ID", message_id.into());
    all
}

impl<'a> EmailAttachment<'a> {
    fn of(file: &'a Attachment, is_in_html: bool) -> Self {
        let bare = |id: &'a String| id.trim().trim_start_matches('<').trim_end_matches('>');
        Self {
            filename: file.sent_name(),
            content: file.content.bytes(),
            content_type: file.content_type.as_deref(),
            content_id: file.content_id.as_ref().filter(|_| is_in_html).map(bare),
        }
    }
}

/// Serializes base64 directly into the output, without an intermediate copy.
fn as_base64<S: Serializer>(bytes: &[u8], output: S) -> Result<S::Ok, S::Error> {
    output.collect_str(&Base64Display::new(bytes, &STANDARD))
}

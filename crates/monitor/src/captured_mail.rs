//! A captured message, taken apart to be shown.

use base64::{Engine, engine::general_purpose::STANDARD};
use mail_parser::{Address, Message, MessageParser, MessagePart, MimeHeaders, PartType};

/// A message's parts for the eye.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) cc: String,
    pub(crate) reply_to: String,
    /// Every header as it stands in the message, in order.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: Option<String>,
    /// With the images that it brings along put in place.
    pub(crate) html: Option<String>,
    pub(crate) files: Vec<File>,
}

/// An attached file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) bytes: u64,
}

impl Opened {
    /// What can't be parsed has no parts; the raw message is always there.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let Some(message) = MessageParser::default().parse(bytes) else { return Self::default() };
        Self {
            from: people(message.from()),
            to: people(message.to()),
            cc: people(message.cc()),
            reply_to: people(message.reply_to()),
            headers: message.headers_raw().map(|(name, value)| (name.to_owned(), unfolded(value))).collect(),
            text: own_body(&message, false),
            html: own_body(&message, true).map(|html| with_images(&html, &message)),
            files: message.attachments().map(file).collect(),
        }
    }
}

/// A body that is in the message, not one that the parser would make from the other kind.
fn own_body(message: &Message<'_>, html: bool) -> Option<String> {
    let bodies: Vec<&MessagePart<'_>> =
        if html { message.html_bodies().collect() } else { message.text_bodies().collect() };
    bodies.into_iter().find_map(|part| match &part.body {
        PartType::Html(body) if html => Some(body.to_string()),
        PartType::Text(body) if !html => Some(body.to_string()),
        _ => None,
    })
}

/// `cid:` means nothing to a browser, so each image that came along is put where it is named.
fn with_images(html: &str, message: &Message<'_>) -> String {
    let mut html = html.to_owned();
    for part in message.attachments() {
        let named = part.content_id().map(|id| format!("cid:{id}"));
        if let Some(named) = named.filter(|named| html.contains(named) && kind(part).starts_with("image/")) {
            let data = format!("data:{};base64,{}", kind(part), STANDARD.encode(part.contents()));
            html = html.replace(&named, &data);
        }
    }
    html
}

fn file(part: &MessagePart<'_>) -> File {
    let name = part.attachment_name().unwrap_or("unnamed").to_owned();
    File { name, kind: kind(part), bytes: part.contents().len() as u64 }
}

fn kind(part: &MessagePart<'_>) -> String {
    let kind = part.content_type();
    kind.map_or_else(String::new, |kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("*")))
}

fn people(address: Option<&Address<'_>>) -> String {
    let all = address.into_iter().flat_map(Address::iter);
    let person = |person: &mail_parser::Addr<'_>| match (person.name(), person.address()) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (name, address) => address.or(name).unwrap_or_default().to_owned(),
    };
    all.map(person).collect::<Vec<_>>().join(", ")
}

fn unfolded(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_message() {
        let message = "From: =?utf-8?q?=C5=BB=C3=B3=C5=82=C4=87?= <z@example.org>\r\nTo: a@example.org,\r\n b@example.org\r\n\
            Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n\
            --m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
            --a\r\nContent-Type: text/plain\r\n\r\nhello\r\n--a\r\nContent-Type: text/html\r\n\r\n<img src=\"cid:pic\">\r\n--a--\r\n\
            --m\r\nContent-Type: image/png\r\nContent-ID: <pic>\r\nContent-Transfer-Encoding: base64\r\n\
            Content-Disposition: inline; filename=\"p.png\"\r\n\r\nAAAA\r\n--m--\r\n";
        let opened = Opened::parse(message.as_bytes());
        assert_eq!(opened.from, "Żółć <z@example.org>");
        assert_eq!(opened.to, "a@example.org, b@example.org");
        assert_eq!(opened.text.as_deref().map(str::trim), Some("hello"));
        assert_eq!(opened.html.as_deref().map(str::trim), Some("<img src=\"data:image/png;base64,AAAA\">"));
        assert_eq!(opened.files, [File { name: "p.png".into(), kind: "image/png".into(), bytes: 3 }]);
        assert!(opened.headers.contains(&("To".into(), "a@example.org, b@example.org".into())));
    }

    #[test]
    fn a_plain_text_has_no_html() {
        let opened = Opened::parse(b"Subject: x\r\n\r\n<b>hello</b>\r\n");
        assert_eq!((opened.text.as_deref().map(str::trim), opened.html), (Some("<b>hello</b>"), None));
        assert_eq!(Opened::parse(b""), Opened::default());
    }
}

//! Parsing of captured messages within bounds, because senders to a test system control their
//! content.

use std::collections::HashMap;

use mail_parser::{Address, HeaderName, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use crate::inert::INPUT_BYTES;

/// Bounds of a message that is parsed. A line may become a header or a part, and a `;` or `<` a
/// parameter or an id. Each needs much more memory than its bytes.
const MOST_BYTES: usize = 40_000_000;
const MOST_LINES: usize = 600_000;
const MOST_MARKS: usize = 2_000_000;
/// Bounds of the content of a page.
const TEXT: usize = 200_000;
const FIELD: usize = 2_000;
const HEADERS: usize = 200;
const FILES: usize = 200;
/// Maximum size of an image that is shown, in bytes.
const IMAGE_BYTES: usize = 10_000_000;
/// Image types that are shown: those that contain nothing but an image.
const IMAGES: [&str; 9] = ["png", "jpeg", "jpg", "pjpeg", "gif", "webp", "bmp", "avif", "x-icon"];

/// Parts of a message for display.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ParsedMail {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) cc: String,
    pub(crate) reply_to: String,
    /// Headers as written in the message, in order.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: Option<String>,
    pub(crate) has_html: bool,
    pub(crate) files: Vec<AttachedFile>,
    /// Note about content that is not shown, if any.
    pub(crate) cut: Option<&'static str>,
}

/// An attached file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AttachedFile {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) bytes: u64,
}

/// HTML of a message, and the numbers of its embedded images by Content-ID.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HtmlBody {
    pub(crate) html: String,
    pub(crate) images: HashMap<String, usize>,
}

/// An embedded image.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) kind: String,
    pub(crate) bytes: Vec<u8>,
}

impl ParsedMail {
    /// Parses a message. Content that can't be parsed has no parts; the raw message stays
    /// available.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        if is_too_large(bytes) {
            return Self { cut: Some("This message is too large to be shown here."), ..Self::default() };
        }
        let Some(message) = parsed(bytes) else { return Self::default() };
        let headers = message.headers_raw().take(HEADERS);
        let text = own_body(&message, false);
        let html = own_body(&message, true).map_or(0, str::len);
        let cut = match text.map_or(0, str::len) {
            _ if html > INPUT_BYTES => Some("The HTML is too large to be shown here."),
            length if length > TEXT => Some("The text is too long and is shortened here."),
            _ => None,
        };
        Self {
            from: people(&message, &HeaderName::From),
            to: people(&message, &HeaderName::To),
            cc: people(&message, &HeaderName::Cc),
            reply_to: people(&message, &HeaderName::ReplyTo),
            headers: headers.map(|(name, value)| (shortened(name, FIELD), unfolded(value))).collect(),
            text: text.map(|text| shortened(text, TEXT)),
            has_html: (1..=INPUT_BYTES).contains(&html),
            files: message.attachments().take(FILES).map(file).collect(),
            cut,
        }
    }
}

impl HtmlBody {
    /// Returns the first HTML body of a message.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let message = parsed(bytes)?;
        let html = own_body(&message, true)?.to_owned();
        let named = message.attachments().enumerate().filter(|(_, part)| is_image(part));
        let images = named.filter_map(|(number, part)| Some((part.content_id()?.to_owned(), number)));
        Some(Self { html, images: images.collect() })
    }
}

impl Image {
    /// Returns the image that is the attachment with this number.
    pub(crate) fn parse(bytes: &[u8], number: usize) -> Option<Self> {
        let message = parsed(bytes)?;
        let part = message.attachment(u32::try_from(number).ok()?).filter(|part| is_image(part))?;
        let bytes = part.contents();
        (bytes.len() <= IMAGE_BYTES).then(|| Self { kind: kind(part), bytes: bytes.to_vec() })
    }
}

fn parsed(bytes: &[u8]) -> Option<Message<'_>> {
    if is_too_large(bytes) {
        return None;
    }
    // Addresses and similar headers are parsed only where they are shown.
    MessageParser::new().with_mime_headers().default_header_ignore().parse(bytes)
}

fn is_too_large(bytes: &[u8]) -> bool {
    let more_than = |most: usize, marks: &[u8]| bytes.iter().filter(|byte| marks.contains(byte)).nth(most).is_some();
    bytes.len() > MOST_BYTES || more_than(MOST_LINES, b"\n") || more_than(MOST_MARKS, b";<")
}

/// Returns a body that the message contains. The parser would also convert one from the other type.
fn own_body<'a>(message: &'a Message<'_>, html: bool) -> Option<&'a str> {
    let bodies: Vec<&MessagePart<'_>> =
        if html { message.html_bodies().collect() } else { message.text_bodies().collect() };
    bodies.into_iter().find_map(|part| match &part.body {
        PartType::Html(body) if html => Some(body.as_ref()),
        PartType::Text(body) if !html => Some(body.as_ref()),
        _ => None,
    })
}

fn file(part: &MessagePart<'_>) -> AttachedFile {
    let name = shortened(part.attachment_name().unwrap_or("unnamed"), FIELD);
    AttachedFile { name, kind: shortened(&kind(part), FIELD), bytes: part.contents().len() as u64 }
}

fn is_image(part: &MessagePart<'_>) -> bool {
    let kind = kind(part).to_ascii_lowercase();
    kind.strip_prefix("image/").is_some_and(|kind| IMAGES.contains(&kind))
}

fn kind(part: &MessagePart<'_>) -> String {
    let kind = part.content_type();
    kind.map_or_else(String::new, |kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("*")))
}

/// Returns the addresses of a header, within the bound of a field.
fn people(message: &Message<'_>, header: &HeaderName<'_>) -> String {
    let mut raw = message.headers_raw().filter(|(name, _)| name.eq_ignore_ascii_case(header.as_str()));
    let Some((_, value)) = raw.next() else { return String::new() };
    let alone = format!("To: {}\r\n\r\n", shortened(value, FIELD * 2).trim_end());
    let parsed = MessageParser::default().parse_headers(&alone);
    let addresses = parsed.as_ref().and_then(|message| message.to());
    let person = |person: &mail_parser::Addr<'_>| match (person.name(), person.address()) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (name, address) => address.or(name).unwrap_or_default().to_owned(),
    };
    shortened(&addresses.into_iter().flat_map(Address::iter).map(person).collect::<Vec<_>>().join(", "), FIELD)
}

fn unfolded(value: &str) -> String {
    shortened(&shortened(value, FIELD * 2).split_whitespace().collect::<Vec<_>>().join(" "), FIELD)
}

fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(most)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "From: =?utf-8?q?=C5=BB=C3=B3=C5=82=C4=87?= <z@example.org>\r\n\
        To: a@example.org,\r\n b@example.org\r\n\
        Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n\
        --m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
        --a\r\nContent-Type: text/plain\r\n\r\nhello\r\n\
        --a\r\nContent-Type: text/html\r\n\r\n<img src=\"cid:pic\">\r\n--a--\r\n\
        --m\r\nContent-Type: image/svg+xml\r\nContent-ID: <svg>\r\n\r\n<svg/>\r\n\
        --m\r\nContent-Type: image/png\r\nContent-ID: <pic>\r\nContent-Transfer-Encoding: base64\r\n\
        Content-Disposition: inline; filename=\"p.png\"\r\n\r\nAAAA\r\n--m--\r\n";

    #[test]
    fn a_message_is_parsed_into_its_parts() {
        let opened = ParsedMail::parse(MESSAGE.as_bytes());
        assert_eq!(opened.from, "Żółć <z@example.org>");
        assert_eq!(opened.to, "a@example.org, b@example.org");
        assert_eq!(opened.text.as_deref().map(str::trim), Some("hello"));
        assert!(opened.has_html && opened.cut.is_none());
        assert_eq!(opened.files[1], AttachedFile { name: "p.png".into(), kind: "image/png".into(), bytes: 3 });
        assert!(opened.headers.contains(&("To".into(), "a@example.org, b@example.org".into())));
    }

    #[test]
    fn only_plain_image_types_are_shown() {
        let html = HtmlBody::parse(MESSAGE.as_bytes()).expect("HTML");
        assert_eq!((html.html.trim(), html.images), ("<img src=\"cid:pic\">", [("pic".to_owned(), 1)].into()));
        let image = Image::parse(MESSAGE.as_bytes(), 1).expect("an image");
        assert_eq!((image.kind.as_str(), image.bytes.as_slice()), ("image/png", &[0, 0, 0][..]));
        assert_eq!((Image::parse(MESSAGE.as_bytes(), 0), Image::parse(MESSAGE.as_bytes(), 2)), (None, None));
    }

    #[test]
    fn a_plain_text_has_no_html() {
        let opened = ParsedMail::parse(b"Subject: x\r\n\r\n<b>hello</b>\r\n");
        assert_eq!((opened.text.as_deref().map(str::trim), opened.has_html), (Some("<b>hello</b>"), false));
        assert_eq!(ParsedMail::parse(b""), ParsedMail::default());
    }

    #[test]
    fn displayed_content_is_bounded() {
        let long =
            format!("To: {}\r\n{}\r\n{}", "a@example.org,".repeat(10_000), "X: y\r\n".repeat(1_000), "ż".repeat(TEXT));
        let opened = ParsedMail::parse(long.as_bytes());
        assert!(opened.to.len() <= FIELD + 5 && opened.headers.len() == HEADERS);
        assert!(opened.text.is_some_and(|text| text.len() <= TEXT + 5) && opened.cut.is_some());
        let lines = "a:\r\n".repeat(MOST_LINES + 1);
        assert!(ParsedMail::parse(lines.as_bytes()).cut.is_some_and(|cut| cut.contains("too large")));
        assert_eq!(HtmlBody::parse(lines.as_bytes()), None);
        assert_eq!(HtmlBody::parse(format!("Content-Type: a/b{}", ";a=b".repeat(MOST_MARKS + 1)).as_bytes()), None);
    }
}

//! Parts of attached files. Attachments were validated by
//! [`Mail::check`](postroom_core::Mail::check).

use postroom_core::{Attachment, MediaType};

use super::{
    encoding::{encoded, seven_bit_message},
    media_type,
    part_headers::{PartHeaders, others},
    parts::{LeafBody, Part, text_part},
};

/// Part of an attached file. `is_invited`: the file is also an alternative of the body. It is then
/// named application/ics, because some readers show each text/calendar as an invitation.
///
/// Files are base64, so that every byte is preserved, including the line ends of text. A message
/// may not be (RFC 2046 §5.2.1): it is 7bit, or else application/octet-stream. So is content
/// without a header that ends with an empty line.
pub(super) fn file_part<'a>(file: &'a Attachment, disposition: &str, is_invited: bool) -> Part<'a> {
    let media_type = media_type_of(file);
    let content = file.content.bytes();
    let message = is_message(&media_type).then(|| seven_bit_message(content));
    let charset = charset(&media_type, content);
    let (essence, parameters) = match (&message, is_invited) {
        (Some(None), _) => ("application/octet-stream", Vec::new()),
        (_, true) => ("application/ics", Vec::new()),
        _ => (media_type.essence(), others(&media_type, &["name"])),
    };
    let parameters: Vec<_> = charset.map(|charset| ("charset", charset)).into_iter().chain(parameters).collect();
    let (encoding, body) = match message.flatten() {
        Some(lines) => ("7bit", LeafBody::Encoded(lines)),
        None => ("base64", LeafBody::Raw(content)),
    };
    let mut headers = PartHeaders::default();
    let name = file.sent_name();
    headers.content_type(essence, &parameters, Some(&name));
    headers.disposition(disposition, &name);
    if let Some(id) = file.bare_content_id() {
        headers.plain("Content-ID", &format!("<{id}>"));
    }
    headers.plain("Content-Transfer-Encoding", encoding);
    Part::Leaf(headers.into_string(), body)
}

/// Returns the file as an alternative of the body if it is a calendar with a method (RFC 6047
/// §2.4): text in UTF-8 with CRLF.
pub(super) fn invitation<'a>(file: &Attachment) -> Option<Part<'a>> {
    let method = file.calendar_method()?;
    let text = std::str::from_utf8(file.content.bytes()).ok()?;
    let media_type = media_type_of(file);
    let mut parameters = vec![("method", method.as_str()), ("charset", "utf-8")];
    parameters.extend(others(&media_type, &["method", "charset", "name"]));
    Some(text_part("text/calendar", &parameters, encoded(text.trim_start_matches('\u{feff}'), false)))
}

/// Returns the content of a file that is not, or not only, written as base64.
pub(super) fn verbatim(file: &Attachment) -> Option<&[u8]> {
    (is_message(&media_type_of(file)) || file.calendar_method().is_some()).then(|| file.content.bytes())
}

fn media_type_of(file: &Attachment) -> MediaType<'_> {
    let given = file.content_type.as_deref().and_then(MediaType::parse);
    given.unwrap_or_else(|| MediaType::of_essence(media_type::guess(&file.filename)))
}

/// Whether the type is of a message in ASCII. `message/global` may have any encoding (RFC 6532
/// §3.7).
fn is_message(media_type: &MediaType<'_>) -> bool {
    media_type.is_kind("message") && !media_type.essence().to_ascii_lowercase().starts_with("message/global")
}

/// Charset of a text without one. Text that is not UTF-8 gets none, unless it begins with the byte
/// order mark of UTF-16.
fn charset(media_type: &MediaType<'_>, content: &[u8]) -> Option<&'static str> {
    if !media_type.is_kind("text") || media_type.parameter("charset").is_some() {
        return None;
    }
    let is_utf16 = content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff");
    match std::str::from_utf8(content) {
        Ok(_) => Some("utf-8"),
        Err(_) => is_utf16.then_some("utf-16"),
    }
}

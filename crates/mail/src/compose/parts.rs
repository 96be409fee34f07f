//! MIME parts of the body: text, HTML, invitation, inline images and attachments.

use postroom_core::Attachment;

use super::{
    boundary::Boundaries,
    encoding::{EncodedText, append_base64, encoded},
    file_part::{file_part, invitation, verbatim},
    part_headers::PartHeaders,
};
use crate::Rendered;

/// Appends the body, with the headers that describe it, to the headers of the message.
///
/// ```text
/// mixed (if there are files)
/// ├── alternative (if there is more than one form of the text)
/// │   ├── text
/// │   ├── related (if there are images in the HTML)
/// │   │   ├── HTML
/// │   │   └── images
/// │   └── invitation (RFC 6047), also one of the files
/// └── files
/// ```
pub(super) fn append(bytes: &mut Vec<u8>, rendered: &Rendered, attachments: &[Attachment], id: &str) {
    let in_html = |file: &&Attachment| rendered.html.is_some() && file.content_id.is_some();
    let (images, files): (Vec<_>, Vec<_>) = attachments.iter().partition(in_html);
    let invited = files.iter().enumerate().find_map(|(at, file)| Some((at, invitation(file)?)));
    let (invited_at, invitation) = invited.map_or((None, None), |(at, part)| (Some(at), Some(part)));
    let boundaries = Boundaries::new(id, rendered, attachments.iter().filter_map(verbatim).collect());
    let is_alone = files.is_empty();
    let content = alternatives(rendered, &images, invitation, is_alone, &boundaries);
    let whole = if files.is_empty() { content } else { mixed(content, &files, invited_at, &boundaries) };
    bytes.reserve(whole.octets());
    whole.write(bytes);
}

/// Node of the body.
pub(super) enum Part<'a> {
    /// Headers and content.
    Leaf(String, LeafBody<'a>),
    /// Headers, boundary and parts.
    Multi(String, String, Vec<Self>),
}

/// Content of a part without parts.
pub(super) enum LeafBody<'a> {
    /// Encoded content.
    Encoded(Vec<u8>),
    /// Content to be encoded as base64.
    Raw(&'a [u8]),
}

impl Part<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Leaf(headers, body) => {
                out.extend_from_slice(headers.as_bytes());
                out.extend_from_slice(b"\r\n");
                match body {
                    LeafBody::Encoded(bytes) => out.extend_from_slice(bytes),
                    LeafBody::Raw(content) => append_base64(out, content),
                }
                out.extend_from_slice(b"\r\n");
            }
            Self::Multi(headers, boundary, parts) => {
                out.extend_from_slice(headers.as_bytes());
                out.extend_from_slice(b"\r\n");
                for part in parts {
                    [b"--", boundary.as_bytes(), b"\r\n"].iter().for_each(|piece| out.extend_from_slice(piece));
                    part.write(out);
                }
                [b"--", boundary.as_bytes(), b"--\r\n"].iter().for_each(|piece| out.extend_from_slice(piece));
            }
        }
    }

    /// Approximate size of the written part.
    fn octets(&self) -> usize {
        match self {
            Self::Leaf(headers, LeafBody::Encoded(bytes)) => headers.len() + bytes.len() + 4,
            Self::Leaf(headers, LeafBody::Raw(content)) => headers.len() + content.len() / 57 * 78 + 82,
            Self::Multi(headers, boundary, parts) => {
                headers.len() + parts.iter().map(|part| part.octets() + boundary.len() + 8).sum::<usize>()
            }
        }
    }
}

/// Text, HTML and invitation. `is_alone`: the text is the whole body, and a line break follows it.
fn alternatives<'a>(
    rendered: &Rendered,
    images: &[&'a Attachment],
    invitation: Option<Part<'a>>,
    is_alone: bool,
    boundaries: &Boundaries<'_>,
) -> Part<'a> {
    let others = usize::from(rendered.html.is_some()) + usize::from(invitation.is_some());
    // HTML without displayed text has no text form.
    let has_plain = others == 0 || rendered.has_text();
    let plain = has_plain.then(|| text("text/plain", &rendered.text, is_alone && others == 0));
    let is_only_html = is_alone && !has_plain && invitation.is_none();
    let html = rendered.html.as_deref().map(|html| with_images(html, images, is_only_html, boundaries));
    let mut forms: Vec<Part<'a>> = plain.into_iter().chain(html).chain(invitation).collect();
    if forms.len() == 1
        && let Some(form) = forms.pop()
    {
        return form;
    }
    multipart("multipart/alternative", &[], forms, boundaries)
}

fn with_images<'a>(html: &str, images: &[&'a Attachment], is_only: bool, boundaries: &Boundaries<'_>) -> Part<'a> {
    let html = text("text/html", html, is_only && images.is_empty());
    if images.is_empty() {
        return html;
    }
    let parts = [html].into_iter().chain(images.iter().map(|file| file_part(file, "inline", false))).collect();
    // The type of the first part, which is the root (RFC 2387 §3.1).
    multipart("multipart/related", &[("type", "\"text/html\"")], parts, boundaries)
}

fn mixed<'a>(
    content: Part<'a>,
    files: &[&'a Attachment],
    invited_at: Option<usize>,
    boundaries: &Boundaries<'_>,
) -> Part<'a> {
    let files = files.iter().enumerate().map(|(at, file)| file_part(file, "attachment", invited_at == Some(at)));
    multipart("multipart/mixed", &[], [content].into_iter().chain(files).collect(), boundaries)
}

fn multipart<'a>(
    essence: &str,
    parameters: &[(&str, &str)],
    parts: Vec<Part<'a>>,
    boundaries: &Boundaries<'_>,
) -> Part<'a> {
    let boundary = boundaries.of(essence);
    let mut headers = PartHeaders::default();
    let quoted = format!("\"{boundary}\"");
    headers.content_type(essence, &[parameters, &[("boundary", &*quoted)]].concat(), None);
    Part::Multi(headers.into_string(), boundary, parts)
}

fn text<'a>(essence: &str, text: &str, is_alone: bool) -> Part<'a> {
    text_part(essence, &[("charset", "utf-8")], encoded(text, is_alone))
}

/// Text part with these parameters of its type.
pub(super) fn text_part<'a>(essence: &str, parameters: &[(&str, &str)], text: EncodedText) -> Part<'a> {
    let mut headers = PartHeaders::default();
    headers.content_type(essence, parameters, None);
    headers.plain("Content-Transfer-Encoding", text.encoding);
    Part::Leaf(headers.into_string(), LeafBody::Encoded(text.bytes))
}

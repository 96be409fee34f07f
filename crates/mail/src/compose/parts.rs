//! MIME parts of the body: text, HTML, inline images and attachments.

use lettre::message::{
    Body, MultiPart, SinglePart,
    header::{ContentId, ContentTransferEncoding, ContentType},
};
use postroom_core::{Attachment, InvalidInput};

use super::{
    boundary::Boundaries,
    encoding::encoded,
    file_headers::{Disposition, MediaType},
    media_type,
};
use crate::Rendered;

/// Appends the body, with the headers that describe it, to the headers of the message.
///
/// ```text
/// mixed (if there are files)
/// ├── alternative (if there is HTML; without text, the HTML alone)
/// │   ├── text
/// │   └── related (if there are images in the HTML)
/// │       ├── HTML
/// │       └── images
/// └── files
/// ```
pub(super) fn append(
    bytes: &mut Vec<u8>,
    rendered: &Rendered,
    attachments: &[Attachment],
    id: &str,
) -> Result<(), InvalidInput> {
    let boundaries = Boundaries::new(id, rendered);
    let in_html = |file: &&Attachment| rendered.html.is_some() && file.content_id.is_some();
    let (images, files): (Vec<_>, Vec<_>) = attachments.iter().partition(in_html);
    let content = match &rendered.html {
        Some(html) => {
            let html = html_part(html, &images, &boundaries, rendered.has_text() || !files.is_empty())?;
            if rendered.has_text() { Part::Multi(alternative(&rendered.text, html, &boundaries)?) } else { html }
        }
        None => Part::Single(text(&rendered.text, ContentType::TEXT_PLAIN, files.is_empty())),
    };
    let whole = if files.is_empty() { content } else { Part::Multi(mixed(content, &files, &boundaries)?) };
    bytes.extend(match whole {
        Part::Single(part) => part.formatted(),
        Part::Multi(part) => part.formatted(),
    });
    Ok(())
}

enum Part {
    Single(SinglePart),
    Multi(MultiPart),
}

fn alternative(plain: &str, html: Part, boundaries: &Boundaries<'_>) -> Result<MultiPart, InvalidInput> {
    let both = multipart("alternative", boundaries)?.singlepart(text(plain, ContentType::TEXT_PLAIN, false));
    Ok(match html {
        Part::Single(html) => both.singlepart(html),
        Part::Multi(related) => both.multipart(related),
    })
}

/// HTML with its images. `in_multipart`: it is not the whole body.
fn html_part(
    html: &str,
    images: &[&Attachment],
    boundaries: &Boundaries<'_>,
    in_multipart: bool,
) -> Result<Part, InvalidInput> {
    let html = text(html, ContentType::TEXT_HTML, images.is_empty() && !in_multipart);
    if images.is_empty() {
        return Ok(Part::Single(html));
    }
    let related = multipart("related", boundaries)?.singlepart(html);
    Ok(Part::Multi(images.iter().fold(related, |parts, file| parts.singlepart(file_part(file, true)))))
}

fn mixed(content: Part, files: &[&Attachment], boundaries: &Boundaries<'_>) -> Result<MultiPart, InvalidInput> {
    let mixed = multipart("mixed", boundaries)?;
    let mixed = match content {
        Part::Single(part) => mixed.singlepart(part),
        Part::Multi(part) => mixed.multipart(part),
    };
    Ok(files.iter().fold(mixed, |parts, file| parts.singlepart(file_part(file, false))))
}

fn multipart(kind: &str, boundaries: &Boundaries<'_>) -> Result<MultiPart, InvalidInput> {
    let content_type = ContentType::parse(&format!("multipart/{kind}; boundary=\"{}\"", boundaries.of(kind)));
    let content_type = content_type.map_err(|error| invalid(error.to_string()))?;
    Ok(MultiPart::builder().header(content_type).build())
}

/// Text part. `alone`: it is the whole body, after which lettre appends a line break.
fn text(text: &str, content_type: ContentType, alone: bool) -> SinglePart {
    SinglePart::builder().content_type(content_type).body(encoded(text, alone))
}

/// Attachment part. The attachment was validated by [`Mail::check`](postroom_core::Mail::check).
fn file_part(file: &Attachment, in_html: bool) -> SinglePart {
    let media_type = file.content_type.as_deref().unwrap_or_else(|| media_type::guess(&file.filename));
    let part = SinglePart::builder().header(MediaType(media_type.trim().to_owned()));
    let mut part = part.header(Disposition { in_html, filename: file.filename.clone() });
    if let Some(id) = file.bare_content_id() {
        part = part.header(ContentId::from(format!("<{id}>")));
    }
    part.body(base64(file.content.bytes()))
}

/// Always encodes as base64, so that every byte is preserved, including the line ends of text
/// files.
fn base64(content: &[u8]) -> Body {
    match Body::new_with_encoding(content.to_vec(), ContentTransferEncoding::Base64) {
        Ok(body) => body,
        Err(bytes) => Body::new(bytes),
    }
}

fn invalid(problem: String) -> InvalidInput {
    InvalidInput::new("attachments", problem)
}

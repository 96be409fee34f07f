//! The body: text, HTML beside it, images within it, files after it.

use lettre::message::{
    Body, MultiPart, SinglePart,
    header::{ContentDisposition, ContentId, ContentTransferEncoding, ContentType},
};
use postroom_core::{Attachment, InvalidInput};

use super::{boundary::Boundaries, encoding::encoded, header::one_word, media_type};
use crate::Rendered;

/// Appends the body to the headers, with the headers that describe it.
///
/// ```text
/// mixed (if there are files)
/// ├── alternative (if there is HTML)
/// │   ├── text
/// │   └── related (if there are images in the HTML)
/// │       ├── HTML
/// │       └── images
/// └── files
/// ```
pub(super) fn append(
    bytes: &mut Vec<u8>,
    words: &Rendered,
    attachments: &[Attachment],
    id: &str,
) -> Result<(), InvalidInput> {
    let boundaries = Boundaries::new(id, words);
    let in_html = |file: &&Attachment| words.html.is_some() && file.content_id.is_some();
    let (images, files): (Vec<_>, Vec<_>) = attachments.iter().partition(in_html);
    let content = match &words.html {
        Some(html) => Part::Multi(alternative(&words.text, html, &images, &boundaries)?),
        None => Part::Single(text(&words.text, ContentType::TEXT_PLAIN, files.is_empty())),
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

fn alternative(
    plain: &str,
    html: &str,
    images: &[&Attachment],
    boundaries: &Boundaries<'_>,
) -> Result<MultiPart, InvalidInput> {
    let both = multipart("alternative", boundaries)?.singlepart(text(plain, ContentType::TEXT_PLAIN, false));
    let html = text(html, ContentType::TEXT_HTML, false);
    if images.is_empty() {
        return Ok(both.singlepart(html));
    }
    let related = multipart("related", boundaries)?.singlepart(html);
    let related =
        images.iter().try_fold(related, |parts, file| file_part(file, true).map(|part| parts.singlepart(part)))?;
    Ok(both.multipart(related))
}

fn mixed(content: Part, files: &[&Attachment], boundaries: &Boundaries<'_>) -> Result<MultiPart, InvalidInput> {
    let mixed = multipart("mixed", boundaries)?;
    let mixed = match content {
        Part::Single(part) => mixed.singlepart(part),
        Part::Multi(part) => mixed.multipart(part),
    };
    files.iter().try_fold(mixed, |parts, file| file_part(file, false).map(|part| parts.singlepart(part)))
}

fn multipart(kind: &str, boundaries: &Boundaries<'_>) -> Result<MultiPart, InvalidInput> {
    let content_type = ContentType::parse(&format!("multipart/{kind}; boundary=\"{}\"", boundaries.of(kind)));
    let content_type = content_type.map_err(|error| invalid(error.to_string()))?;
    Ok(MultiPart::builder().header(content_type).build())
}

/// `alone`: nothing but the end of the message follows, which lettre ends with one line break more.
fn text(text: &str, content_type: ContentType, alone: bool) -> SinglePart {
    SinglePart::builder().content_type(content_type).body(encoded(text, alone))
}

fn file_part(file: &Attachment, in_html: bool) -> Result<SinglePart, InvalidInput> {
    if file.filename.is_empty() || file.filename.chars().any(char::is_control) {
        return Err(invalid("an attachment needs a file name, all in one line".into()));
    }
    let media_type = file.content_type.as_deref().unwrap_or_else(|| media_type::guess(&file.filename));
    let content_type = content_type(media_type)
        .ok_or_else(|| invalid(format!("{media_type:?} is no MIME type; it may be something like application/pdf")))?;
    let disposition =
        if in_html { ContentDisposition::inline_with_name } else { ContentDisposition::attachment }(&file.filename);
    let mut part = SinglePart::builder().content_type(content_type).header(disposition);
    if let Some(id) = &file.content_id {
        let id = one_word("attachments", id.trim().trim_start_matches('<').trim_end_matches('>'))?;
        part = part.header(ContentId::from(format!("<{id}>")));
    }
    Ok(part.body(base64(file.content.bytes())))
}

/// A plain `type/subtype` with ASCII parameters; a multipart would promise parts that are not there.
fn content_type(text: &str) -> Option<ContentType> {
    let sound =
        text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && !text.to_lowercase().starts_with("multipart/");
    sound.then(|| ContentType::parse(text).ok()).flatten()
}

/// Always base64, so that every byte arrives, line ends of text files too.
fn base64(content: &[u8]) -> Body {
    match Body::new_with_encoding(content.to_vec(), ContentTransferEncoding::Base64) {
        Ok(body) => body,
        Err(bytes) => Body::new(bytes),
    }
}

fn invalid(problem: String) -> InvalidInput {
    InvalidInput::new("attachments", problem)
}

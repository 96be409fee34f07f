//! MIME boundaries (RFC 2046 §5.1.1).

use memchr::memmem;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64;

use crate::Rendered;

/// Prefix of every boundary; it can't occur in a quoted-printable or base64 body.
const START: &str = "=_";

/// Generates the boundaries of one message. They are deterministic and occur in none of its parts.
///
/// They are derived from the mail's seed and a hash of its content, so an author can't put a
/// boundary into the content. Candidates are still searched for in the content, because the hash is
/// not cryptographic. Attachments in base64 need no search.
pub(super) struct Boundaries<'a> {
    id: &'a str,
    rendered: &'a Rendered,
    /// Attachments that are not written as base64.
    files: Vec<&'a [u8]>,
    hash: u64,
    /// Whether the content contains the prefix, so that a search is needed.
    is_suspect: bool,
}

impl<'a> Boundaries<'a> {
    pub(super) fn new(id: &'a str, rendered: &'a Rendered, files: Vec<&'a [u8]>) -> Self {
        let (text, html) = (rendered.text.as_bytes(), rendered.html.as_deref().unwrap_or_default().as_bytes());
        let hash = xxh3_64(text) ^ xxh3_64(html).rotate_left(32);
        let hash = files.iter().fold(hash, |hash, file| hash.rotate_left(7) ^ xxh3_64(file));
        let mut texts = [text, html].into_iter().chain(files.iter().copied());
        let is_suspect = texts.any(|bytes| memmem::find(bytes, START.as_bytes()).is_some());
        Self { id, rendered, files, hash, is_suspect }
    }

    /// Boundary for one level of the message.
    pub(super) fn of(&self, kind: &str) -> String {
        // Each round gives a different candidate; the content can't contain all of them.
        let mut made = (0_u32..).map(|round| self.candidate(kind, round));
        made.find(|boundary| !self.occurs(boundary)).unwrap_or_default()
    }

    fn occurs(&self, boundary: &str) -> bool {
        let finder = memmem::Finder::new(boundary);
        let texts = std::iter::once(&self.rendered.text).chain(&self.rendered.html).map(String::as_bytes);
        let mut all = texts.chain(self.files.iter().copied());
        self.is_suspect && all.any(|text| finder.find(text).is_some())
    }

    fn candidate(&self, kind: &str, round: u32) -> String {
        let hash = Sha256::new().chain_update(kind).chain_update(" ").chain_update(self.id);
        let hash = hash.chain_update(self.hash.to_le_bytes()).chain_update(round.to_le_bytes()).finalize();
        let digit = |digit: u8| char::from_digit(digit.into(), 16).unwrap_or('0');
        hash.iter().take(15).fold(String::with_capacity(32) + START, |mut text, byte| {
            text.extend([byte >> 4, byte & 15].map(digit));
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str, html: Option<&str>) -> Rendered {
        Rendered::literal("", Some(text), html)
    }

    #[test]
    fn boundaries_depend_on_the_seed_and_the_content_only() {
        let boundary =
            |id: &str, text: &str, html: &str| Boundaries::new(id, &content(text, Some(html)), vec![]).of("mixed");
        let one = boundary("1", "a", "b");
        assert_eq!(one, boundary("1", "a", "b"));
        for other in
            [boundary("2", "a", "b"), boundary("1", "b", "b"), boundary("1", "a", "c"), boundary("1", "b", "a")]
        {
            assert_ne!(one, other);
        }
        assert_ne!(one, Boundaries::new("1", &content("a", Some("b")), vec![]).of("alternative"));
    }

    /// Boundaries with a fixed hash, as if an attacker had found content that gives this hash.
    fn forged<'a>(rendered: &'a Rendered, files: &[&'a [u8]]) -> Boundaries<'a> {
        Boundaries { hash: 7, ..Boundaries::new("1", rendered, files.to_vec()) }
    }

    #[test]
    fn a_boundary_in_the_content_is_skipped() {
        let candidate = |kind, round| forged(&content("", None), &[]).candidate(kind, round);
        let held = format!("--{}\r\n--{}", candidate("mixed", 0), candidate("mixed", 1));
        for rendered in [content(&held, None), content("", Some(&held))] {
            assert_eq!(forged(&rendered, &[]).of("mixed"), candidate("mixed", 2));
            assert_eq!(forged(&rendered, &[]).of("related"), candidate("related", 0));
        }
        assert_eq!(forged(&content("", None), &[held.as_bytes()]).of("mixed"), candidate("mixed", 2));
    }
}

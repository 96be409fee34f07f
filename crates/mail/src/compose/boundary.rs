//! What separates the parts of a message.

use memchr::memmem;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64;

use crate::Rendered;

/// Makes the boundaries of one message: the same for the same mail, and in none of its parts.
///
/// They follow from the mail's id and from its words, so that nobody can put a boundary into words that he writes. What is
/// made is looked for in the words all the same (RFC 2046 §5.1.1): the fast hash of the words is no proof. Attachments are
/// always in base64, which has no `_`.
pub(super) struct Boundaries<'a> {
    words: &'a Rendered,
    seed: String,
}

impl<'a> Boundaries<'a> {
    pub(super) fn new(id: &str, words: &'a Rendered) -> Self {
        let html = words.html.as_deref().unwrap_or_default();
        let (text, html) = (xxh3_64(words.text.as_bytes()), xxh3_64(html.as_bytes()));
        Self { words, seed: format!("{id} {text:016x}{html:016x}") }
    }

    /// The boundary of one level of the message.
    pub(super) fn of(&self, kind: &str) -> String {
        let mut made = (0_u32..).map(|round| candidate(kind, &self.seed, round));
        // Each round makes another one: the words can't hold them all.
        made.find(|boundary| !self.occurs(boundary)).unwrap_or_default()
    }

    fn occurs(&self, boundary: &str) -> bool {
        let finder = memmem::Finder::new(boundary);
        let texts = std::iter::once(&self.words.text).chain(&self.words.html);
        texts.into_iter().any(|text| finder.find(text.as_bytes()).is_some())
    }
}

/// `=_` is in no quoted-printable or base64 body.
fn candidate(kind: &str, seed: &str, round: u32) -> String {
    let round = if round == 0 { String::new() } else { format!(" {round}") };
    let hash = Sha256::digest(format!("{kind} {seed}{round}"));
    let boundary = String::with_capacity(32) + "=_";
    hash.iter().take(15).fold(boundary, |mut text, byte| {
        text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, html: Option<&str>) -> Rendered {
        Rendered { subject: String::new(), text: text.to_owned(), html: html.map(str::to_owned) }
    }

    #[test]
    fn the_same_mail_has_the_same_and_another_has_others() {
        let boundary = |id: &str, text: &str, html: &str| Boundaries::new(id, &words(text, Some(html))).of("mixed");
        let one = boundary("1", "a", "b");
        assert_eq!(one, boundary("1", "a", "b"));
        for other in
            [boundary("2", "a", "b"), boundary("1", "b", "b"), boundary("1", "a", "c"), boundary("1", "b", "a")]
        {
            assert_ne!(one, other);
        }
        assert_ne!(one, Boundaries::new("1", &words("a", Some("b"))).of("alternative"));
    }

    /// As if somebody had found words whose boundary they hold.
    #[test]
    fn a_boundary_that_the_words_hold_is_not_taken() {
        let seed = "1 words".to_owned();
        let held = format!("--{}\r\n--{}", candidate("mixed", &seed, 0), candidate("mixed", &seed, 1));
        for words in [words(&held, None), words("", Some(&held))] {
            let boundaries = Boundaries { words: &words, seed: seed.clone() };
            assert_eq!(boundaries.of("mixed"), candidate("mixed", &seed, 2));
            assert_eq!(boundaries.of("related"), candidate("related", &seed, 0));
        }
    }
}

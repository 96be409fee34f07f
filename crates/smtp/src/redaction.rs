//! Redaction of secrets in text from a server.

use std::{borrow::Cow, fmt};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// Replacement of a secret.
const MASK: &str = "***";

/// Minimum length of a masked prefix, because servers may truncate an echo. A shorter secret is
/// masked only as a separate word, since a secret such as `a` is part of most texts.
const CUT: usize = 8;

/// Secrets of a login or an account, in plain text and in base64, as a server may echo them.
///
/// Text is redacted when it is read, so that no error, log line or record contains a secret.
#[derive(Clone, Default)]
pub struct Redaction {
    needles: Vec<Needle>,
    /// Set of the first bytes of all needles, in lower case.
    first: [u64; 4],
}

#[derive(Clone)]
struct Needle {
    bytes: Vec<u8>,
    /// Minimum number of leading bytes that must match.
    least: usize,
}

impl Redaction {
    /// Creates a redaction of a password, alone and in the response of AUTH PLAIN (RFC 4616).
    #[must_use]
    pub fn of_login(user: &str, password: &str) -> Self {
        Self::new(password, &[password, &plain_response(user, password)])
    }

    /// Creates a redaction of an API key.
    #[must_use]
    pub fn of_key(key: &str) -> Self {
        Self::new(key, &[key])
    }

    fn new(plain: &str, encoded: &[&str]) -> Self {
        let encoded = encoded.iter().flat_map(|text| [STANDARD_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(text)]);
        let needles = std::iter::once(Needle::plain(plain)).chain(encoded.map(Needle::encoded));
        let needles: Vec<Needle> = needles.filter(|needle| !needle.bytes.is_empty()).collect();
        let mut first = [0; 4];
        for byte in needles.iter().map(|needle| needle.bytes[0].to_ascii_lowercase()) {
            first[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
        Self { needles, first }
    }

    /// Masks each secret in the text, in upper or lower case.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let (mut redacted, mut done, mut at) = (String::new(), 0, 0);
        while at < text.len() {
            match self.end_of_match(text, at) {
                Some(end) => {
                    redacted.push_str(&text[done..at]);
                    redacted.push_str(MASK);
                    (done, at) = (end, end);
                }
                None => at += 1,
            }
        }
        if done == 0 {
            return Cow::Borrowed(text);
        }
        redacted.push_str(&text[done..]);
        Cow::Owned(redacted)
    }

    /// End of the longest secret that begins at `at`.
    fn end_of_match(&self, text: &str, at: usize) -> Option<usize> {
        let byte = text.as_bytes()[at].to_ascii_lowercase();
        if self.first[usize::from(byte >> 6)] & (1 << (byte & 63)) == 0 || !text.is_char_boundary(at) {
            return None;
        }
        let end = self.needles.iter().filter_map(|needle| needle.end_of_match(text, at)).max()?;
        (end..=text.len()).find(|end| text.is_char_boundary(*end))
    }
}

impl Needle {
    fn plain(text: &str) -> Self {
        let least = (text.len() * 3 / 4).max(CUT).min(text.len());
        Self { bytes: text.as_bytes().to_vec(), least }
    }

    fn encoded(text: String) -> Self {
        Self { least: CUT.min(text.len()), bytes: text.into_bytes() }
    }

    fn end_of_match(&self, text: &str, at: usize) -> Option<usize> {
        let here = &text.as_bytes()[at..];
        let alike = |(own, other): &(&u8, &u8)| own.eq_ignore_ascii_case(other);
        let length = self.bytes.iter().zip(here).take_while(alike).count();
        let end = at + length;
        (length >= self.least && (length >= CUT || is_word(text, at, end))).then_some(end)
    }
}

/// Whether no letter or digit precedes or follows.
fn is_word(text: &str, start: usize, end: usize) -> bool {
    let is_edge = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let bytes = text.as_bytes();
    is_edge(start.checked_sub(1).and_then(|before| bytes.get(before))) && is_edge(bytes.get(end))
}

/// Response of AUTH PLAIN before its base64 encoding.
pub(crate) fn plain_response(user: &str, password: &str) -> String {
    format!("\0{user}\0{password}")
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn every_form_of_a_password_is_masked() {
        for password in ["hunter2", "correct horse battery", "żółw-żółw", "p\"\\'<>", "250", "x", "sesame seeds?>~"]
        {
            let redaction = Redaction::of_login("ada", password);
            let response = STANDARD.encode(plain_response("ada", password));
            let encoded = STANDARD.encode(password);
            for (echo, shown) in [
                (format!("535 no: {password}"), "535 no: ***".to_owned()),
                (format!("535 {password}, {password} again"), "535 ***, *** again".to_owned()),
                (format!("ada/{} is wrong", password.to_ascii_uppercase()), "ada/*** is wrong".to_owned()),
                (format!("AUTH PLAIN {response}"), format!("AUTH PLAIN ***{}", padding(&response))),
                (format!("\"{encoded}\""), format!("\"***{}\"", padding(&encoded))),
                ("nothing here".to_owned(), "nothing here".to_owned()),
            ] {
                assert_eq!(redaction.redact(&echo), shown, "{password:?}: {echo:?}");
            }
            // The server truncates the line.
            let cut = format!("500 AUTH PLAIN {}", &response[..response.len().min(CUT + 1)]);
            assert_eq!(redaction.redact(&cut), "500 AUTH PLAIN ***", "{password:?}");
        }
    }

    #[test]
    fn a_key_and_a_truncated_key_are_masked() {
        let redaction = Redaction::of_key("re_AbCd1234_EfGh5678");
        for (text, shown) in [
            ("API key re_AbCd1234_EfGh5678 is invalid", "API key *** is invalid"),
            ("API key re_AbCd1234_EfGh56… is invalid", "API key ***… is invalid"),
            ("re_ is no key", "re_ is no key"),
        ] {
            assert_eq!(redaction.redact(text), shown);
        }
    }

    #[test]
    fn a_short_password_is_masked_only_as_a_word() {
        let redaction = Redaction::of_login("ada", "mail");
        assert_eq!(redaction.redact("mailbox full, mail: mail"), "mailbox full, ***: ***");
    }

    #[test]
    fn without_secrets_nothing_is_masked() {
        for redaction in [Redaction::default(), Redaction::of_key(""), Redaction::of_login("", "")] {
            assert_eq!(redaction.redact("250 ok"), "250 ok");
        }
    }

    #[test]
    fn debug_output_omits_the_secrets() {
        assert!(!format!("{:?}", Redaction::of_key("secret")).contains("secret"));
    }

    fn padding(encoded: &str) -> &str {
        &encoded[encoded.trim_end_matches('=').len()..]
    }
}

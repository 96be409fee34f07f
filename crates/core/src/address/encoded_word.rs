//! Encoded words of display names (RFC 2047).

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{normal::AddressFault, percent};

/// Base64 with or without padding.
const LOOSE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Character set of an encoded word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    Latin1,
}

/// Bytes of encoded words that follow each other. A character may be split between two of them,
/// although RFC 2047 §5 forbids it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EncodedName {
    charset: Charset,
    bytes: Vec<u8>,
}

/// Maximum length of an encoded word. RFC 2047 allows 75, but some programs do not count.
const LONGEST: usize = 500;

/// Returns the length of the encoded word that `text` begins with.
pub(super) fn length(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("=?")?;
    let rest = &rest[..rest.floor_char_boundary(LONGEST)];
    let (charset, rest) = rest.split_once('?')?;
    let (encoding, rest) = rest.split_once('?')?;
    let (content, _) = rest.split_once("?=")?;
    let fits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic());
    let is_word = fits(charset) && matches!(encoding, "b" | "B" | "q" | "Q") && content.bytes().all(|b| b > b' ');
    is_word.then_some("=????=".len() + charset.len() + encoding.len() + content.len())
}

impl EncodedName {
    /// Decodes one encoded word; [`length`] has found it.
    ///
    /// # Errors
    /// Returns an error for an unknown character set or invalid base64.
    pub(super) fn of(word: &str) -> Result<Self, AddressFault> {
        let mut parts = word.trim_start_matches("=?").splitn(3, '?');
        let (charset, encoding) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let content = parts.next().and_then(|rest| rest.strip_suffix("?=")).unwrap_or_default();
        let bytes = match encoding {
            "b" | "B" => {
                LOOSE.decode(content).map_err(|_| AddressFault::from("an encoded word in the name is not base64"))?
            }
            _ => unquoted(content),
        };
        Ok(Self { charset: Charset::of(charset)?, bytes })
    }

    /// Appends the following word. Returns it unchanged if its character set is another one.
    pub(super) fn append(&mut self, next: Self) -> Result<(), Self> {
        if self.charset != next.charset {
            return Err(next);
        }
        self.bytes.extend(next.bytes);
        Ok(())
    }

    /// Returns the text.
    ///
    /// # Errors
    /// Returns an error if the bytes are not text of their character set.
    pub(super) fn text(&self) -> Result<String, AddressFault> {
        match self.charset {
            Charset::Utf8 => String::from_utf8(self.bytes.clone())
                .map_err(|_| "an encoded word in the name is not valid UTF-8".into()),
            Charset::Latin1 => Ok(self.bytes.iter().map(|byte| char::from(*byte)).collect()),
        }
    }
}

impl Charset {
    /// Parses a name, which a language may follow (RFC 2231 §5).
    fn of(name: &str) -> Result<Self, AddressFault> {
        let name = name.split('*').next().unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" | "us-ascii" => Ok(Self::Utf8),
            "iso-8859-1" | "latin1" => Ok(Self::Latin1),
            other => Err(format!("an encoded word in the name is in {other}; it may be in utf-8 or iso-8859-1").into()),
        }
    }
}

/// Decodes the encoding Q: `_` is a space, `=40` an octet.
fn unquoted(content: &str) -> Vec<u8> {
    let (bytes, mut plain, mut at) = (content.as_bytes(), Vec::with_capacity(content.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let code = (byte == b'=').then(|| content.get(at + 1..at + 3)).flatten().and_then(percent::hex);
        plain.push(code.unwrap_or(if byte == b'_' { b' ' } else { byte }));
        at += if code.is_some() { 3 } else { 1 };
    }
    plain
}

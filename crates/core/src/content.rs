//! The bytes of an attachment or a body: inline, or stored in Redis under their hash.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, OnceLock},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::InvalidInput;

/// The bytes of an attachment or a body. Clones share them.
///
/// In JSON, inline content is base64. Content that is stored elsewhere is `sha256:<hash>:<size>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(Form);

#[derive(Clone)]
enum Form {
    Inline(Arc<Bytes>),
    Stored { hash: ContentHash, size: usize },
}

struct Bytes {
    bytes: Vec<u8>,
    hash: OnceLock<ContentHash>,
}

/// SHA-256 of a content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 32]);

/// Prefix of the JSON form without bytes. Base64 never contains a colon.
const STORED: &str = "sha256:";

impl Content {
    /// Returns the bytes; empty if the content is stored elsewhere.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Inline(content) => &content.bytes,
            Form::Stored { .. } => &[],
        }
    }

    /// Whether the bytes are present.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        matches!(self.0, Form::Inline(_))
    }

    /// Size in bytes, present or not.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.0 {
            Form::Inline(content) => content.bytes.len(),
            Form::Stored { size, .. } => *size,
        }
    }

    /// Returns the hash, computed once for all clones.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        match &self.0 {
            Form::Inline(content) => *content.hash.get_or_init(|| ContentHash(Sha256::digest(&content.bytes).into())),
            Form::Stored { hash, .. } => *hash,
        }
    }

    /// Returns the form without bytes.
    #[must_use]
    pub(crate) fn to_stored(&self) -> Self {
        Self(Form::Stored { hash: self.hash(), size: self.size() })
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Form::Inline(Arc::new(Bytes { bytes, hash: OnceLock::new() })))
    }
}

impl PartialEq for Form {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inline(one), Self::Inline(two)) => Arc::ptr_eq(one, two) || one.bytes == two.bytes,
            (Self::Stored { hash: one, .. }, Self::Stored { hash: two, .. }) => one == two,
            (Self::Inline(_), Self::Stored { .. }) | (Self::Stored { .. }, Self::Inline(_)) => false,
        }
    }
}

impl Eq for Form {}

/// Shows only the size: the bytes may be confidential.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.size())
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ContentHash {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let unfit =
            || InvalidInput::new("content", format!("{text:?} is not a SHA-256, which has 64 hexadecimal digits"));
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.is_ascii() {
            return Err(unfit());
        }
        let mut hash = [0; 32];
        for (byte, start) in hash.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[start..start + 2], 16).map_err(|_| unfit())?;
        }
        Ok(Self(hash))
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Form::Inline(content) => output.serialize_str(&STANDARD.encode(&content.bytes)),
            Form::Stored { hash, size } => output.collect_str(&format_args!("{STORED}{hash}:{size}")),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        if let Some(stored) = text.strip_prefix(STORED) {
            let (hash, size) = stored.split_once(':').unwrap_or((stored, ""));
            let size = size
                .parse()
                .map_err(|_| serde::de::Error::custom("the hash of a content must be followed by its size"))?;
            return Ok(Self(Form::Stored { hash: hash.parse().map_err(serde::de::Error::custom)?, size }));
        }
        let bytes = STANDARD.decode(text);
        let bytes = bytes.map_err(|error| serde::de::Error::custom(format!("content is not base64: {error}")))?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_survive_writing_and_parsing() {
        let content = Content::from(b"Hello".to_vec());
        for (form, json) in [
            (content.clone(), r#""SGVsbG8=""#.to_owned()),
            (content.to_stored(), format!("\"sha256:{}:5\"", content.hash())),
        ] {
            assert_eq!(serde_json::to_string(&form).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<Content>(&json).expect(&json), form);
            assert_eq!((form.size(), form.hash()), (5, content.hash()));
        }
        assert!(content.to_stored().bytes().is_empty() && !content.to_stored().is_inline());
        for bad in ["\"*\"", "\"sha256:00:5\"", "\"sha256:\"", "1"] {
            assert!(serde_json::from_str::<Content>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_debug_form_shows_only_the_size() {
        let debug = format!("{:?}", Content::from(b"secret".to_vec()));
        assert_eq!(debug, "Content(6 bytes)");
    }
}

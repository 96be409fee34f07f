//! The bytes of a file or a body in a mail: at hand, or kept in Redis under their hash.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, OnceLock},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::InvalidInput;

/// The bytes of a file or a body in a mail. Clones share them.
///
/// In JSON it is base64, or `sha256:<hash>:<size>` where only the hash is at hand and the bytes are kept elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(Form);

#[derive(Clone)]
enum Form {
    AtHand(Arc<Bytes>),
    Kept { hash: ContentHash, size: usize },
}

struct Bytes {
    bytes: Vec<u8>,
    hash: OnceLock<ContentHash>,
}

/// The SHA-256 of a content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 32]);

/// What the JSON form begins with where only the hash is at hand; no base64 holds a colon.
const KEPT: &str = "sha256:";

impl Content {
    /// The bytes; none where they are kept elsewhere.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Form::AtHand(content) => &content.bytes,
            Form::Kept { .. } => &[],
        }
    }

    /// Whether the bytes are here.
    #[must_use]
    pub fn is_at_hand(&self) -> bool {
        matches!(self.0, Form::AtHand(_))
    }

    /// How many bytes it has, wherever they are.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.0 {
            Form::AtHand(content) => content.bytes.len(),
            Form::Kept { size, .. } => *size,
        }
    }

    /// Its hash, found out once for all clones.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        match &self.0 {
            Form::AtHand(content) => *content.hash.get_or_init(|| ContentHash(Sha256::digest(&content.bytes).into())),
            Form::Kept { hash, .. } => *hash,
        }
    }

    /// The same without its bytes.
    #[must_use]
    pub(crate) fn elsewhere(&self) -> Self {
        Self(Form::Kept { hash: self.hash(), size: self.size() })
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Form::AtHand(Arc::new(Bytes { bytes, hash: OnceLock::new() })))
    }
}

impl PartialEq for Form {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::AtHand(one), Self::AtHand(two)) => Arc::ptr_eq(one, two) || one.bytes == two.bytes,
            (Self::Kept { hash: one, .. }, Self::Kept { hash: two, .. }) => one == two,
            (Self::AtHand(_), Self::Kept { .. }) | (Self::Kept { .. }, Self::AtHand(_)) => false,
        }
    }
}

impl Eq for Form {}

/// Its size alone: what is in it is nobody's business.
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
        let unfit = || InvalidInput::new("content", format!("{text:?} is no SHA-256; it has 64 hexadecimal digits"));
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.is_ascii() {
            return Err(unfit());
        }
        let mut hash = [0; 32];
        for (byte, place) in hash.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[place..place + 2], 16).map_err(|_| unfit())?;
        }
        Ok(Self(hash))
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Form::AtHand(content) => output.serialize_str(&STANDARD.encode(&content.bytes)),
            Form::Kept { hash, size } => output.collect_str(&format_args!("{KEPT}{hash}:{size}")),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        if let Some(kept) = text.strip_prefix(KEPT) {
            let (hash, size) = kept.split_once(':').unwrap_or((kept, ""));
            let size =
                size.parse().map_err(|_| serde::de::Error::custom("a content's hash is followed by its size"))?;
            return Ok(Self(Form::Kept { hash: hash.parse().map_err(serde::de::Error::custom)?, size }));
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
    fn both_forms_survive_being_written() {
        let content = Content::from(b"Hello".to_vec());
        for (form, json) in [
            (content.clone(), r#""SGVsbG8=""#.to_owned()),
            (content.elsewhere(), format!("\"sha256:{}:5\"", content.hash())),
        ] {
            assert_eq!(serde_json::to_string(&form).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<Content>(&json).expect(&json), form);
            assert_eq!((form.size(), form.hash()), (5, content.hash()));
        }
        assert!(content.elsewhere().bytes().is_empty() && !content.elsewhere().is_at_hand());
        for bad in ["\"*\"", "\"sha256:00:5\"", "\"sha256:\"", "1"] {
            assert!(serde_json::from_str::<Content>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_in_it_is_not_told() {
        let told = format!("{:?}", Content::from(b"secret".to_vec()));
        assert_eq!(told, "Content(6 bytes)");
    }
}

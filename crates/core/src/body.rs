//! The text or HTML body of a mail: inline, or stored in Redis under its hash.

use std::{fmt, ops::Deref};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
};

use crate::{Content, ContentHash};

/// The text or HTML body of a mail. As a `str` it is empty if it is stored elsewhere. Clones share
/// it.
///
/// In JSON, an inline body is a string. A stored one is `{"content":"sha256:<hash>:<size>"}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(Content);

impl Body {
    /// Whether the bytes are present.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        self.0.is_inline()
    }

    /// Size in bytes, present or not.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size()
    }

    /// Returns the hash of the bytes.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.0.hash()
    }

    /// Returns the bytes, which are always UTF-8 text.
    pub(crate) fn content(&self) -> &Content {
        &self.0
    }

    /// Returns the form without bytes.
    #[must_use]
    pub(crate) fn to_stored(&self) -> Self {
        Self(self.0.to_stored())
    }

    /// Converts content, if it is UTF-8 text.
    pub(crate) fn of(content: &Content) -> Option<Self> {
        str::from_utf8(content.bytes()).is_ok().then(|| Self(content.clone()))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Deref for Body {
    type Target = str;

    fn deref(&self) -> &str {
        // No constructor accepts bytes that are not UTF-8.
        str::from_utf8(self.0.bytes()).unwrap_or_default()
    }
}

/// Shows only the size: the text may be confidential.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.size())
    }
}

/// JSON form of a stored body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredBody {
    content: Content,
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        if self.is_inline() {
            return output.serialize_str(self);
        }
        StoredBody { content: self.0.clone() }.serialize(output)
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<Body, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Body, E> {
        Ok(text.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Body, A::Error> {
        let StoredBody { content } = StoredBody::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        if content.is_inline() {
            return Err(A::Error::custom("a body is a string, or an object with the hash of its content"));
        }
        Ok(Body(content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_survive_writing_and_parsing() {
        let body = Body::from("Żółć \"1\"");
        let hash = body.hash();
        for (form, json) in [
            (body.clone(), "\"Żółć \\\"1\\\"\"".to_owned()),
            (body.to_stored(), format!("{{\"content\":\"sha256:{hash}:12\"}}")),
        ] {
            assert_eq!(serde_json::to_string(&form).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<Body>(&json).expect(&json), form);
            assert_eq!((form.size(), form.hash()), (12, hash));
        }
        assert_eq!((&*body, &*body.to_stored()), ("Żółć \"1\"", ""));
        assert_eq!(format!("{body:?}"), "Body(12 bytes)");
        // A text that looks like a hash is still a text.
        let text: Body = serde_json::from_str(&format!("\"sha256:{hash}:12\"")).expect("a body");
        assert!(text.is_inline());
        for bad in ["1", "{}", "{\"content\":\"SGVsbG8=\"}", "{\"content\":\"sha256:00:1\"}", "[\"a\"]"] {
            assert!(serde_json::from_str::<Body>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_utf8_content_is_a_body() {
        let body = Body::of(&b"Hi".to_vec().into()).expect("a text");
        assert_eq!(&*body, "Hi");
        assert_eq!(Body::of(&vec![0xff].into()), None);
    }
}

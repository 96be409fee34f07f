//! The text or the HTML of a mail: at hand, or kept in Redis under its hash.

use std::{fmt, ops::Deref};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
};

use crate::{Content, ContentHash};

/// The text or the HTML of a mail; as a `str` it is empty where it is kept elsewhere. Clones share it.
///
/// In JSON it is a string, or `{"content":"sha256:<hash>:<size>"}` where only the hash is at hand.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(Content);

impl Body {
    /// Whether it is here.
    #[must_use]
    pub fn is_at_hand(&self) -> bool {
        self.0.is_at_hand()
    }

    /// How many bytes it has, wherever they are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size()
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.0.hash()
    }

    /// Its bytes, always those of a text.
    pub(crate) fn content(&self) -> &Content {
        &self.0
    }

    /// The same without its bytes.
    #[must_use]
    pub(crate) fn elsewhere(&self) -> Self {
        Self(self.0.elsewhere())
    }

    /// These bytes, if they are a text.
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
        // There is no way to make one of anything else.
        str::from_utf8(self.0.bytes()).unwrap_or_default()
    }
}

/// Its size alone: what is in it is nobody's business.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.size())
    }
}

/// The form in which it is named only.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    content: Content,
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        if self.is_at_hand() {
            return output.serialize_str(self);
        }
        Named { content: self.0.clone() }.serialize(output)
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
        let Named { content } = Named::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        if content.is_at_hand() {
            return Err(A::Error::custom("a body that is not a string is named by its hash"));
        }
        Ok(Body(content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_survive_being_written() {
        let body = Body::from("Żółć \"1\"");
        let hash = body.hash();
        for (form, json) in [
            (body.clone(), "\"Żółć \\\"1\\\"\"".to_owned()),
            (body.elsewhere(), format!("{{\"content\":\"sha256:{hash}:12\"}}")),
        ] {
            assert_eq!(serde_json::to_string(&form).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<Body>(&json).expect(&json), form);
            assert_eq!((form.size(), form.hash()), (12, hash));
        }
        assert_eq!((&*body, &*body.elsewhere()), ("Żółć \"1\"", ""));
        assert_eq!(format!("{body:?}"), "Body(12 bytes)");
        // A text may say anything.
        let text: Body = serde_json::from_str(&format!("\"sha256:{hash}:12\"")).expect("a body");
        assert!(text.is_at_hand());
        for bad in ["1", "{}", "{\"content\":\"SGVsbG8=\"}", "{\"content\":\"sha256:00:1\"}", "[\"a\"]"] {
            assert!(serde_json::from_str::<Body>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_text_is_one() {
        let body = Body::of(&b"Hi".to_vec().into()).expect("a text");
        assert_eq!(&*body, "Hi");
        assert_eq!(Body::of(&vec![0xff].into()), None);
    }
}

//! Parses replies of scripts.

use std::{collections::HashMap, ops::Deref};

use redis::{FromRedisValue, ParsingError, Value};

use crate::{Error, Result};

/// Words of one reply, read in order.
pub(in crate::store) struct ReplyWords(std::vec::IntoIter<Value>);

impl ReplyWords {
    pub(in crate::store) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    /// Reads the next word and converts it.
    ///
    /// # Errors
    /// [`Error::Protocol`] if there is none or it has another type.
    pub(in crate::store) fn next<T: FromRedisValue>(&mut self) -> Result<T> {
        let value = self.0.next().ok_or_else(|| Error::Protocol("the reply has too few words".to_owned()))?;
        T::from_redis_value(value).map_err(|error| Error::Protocol(error.to_string()))
    }

    /// Whether all words were read.
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.0.as_slice().is_empty()
    }

    /// Converts each remaining word.
    pub(in crate::store) fn rest<T: FromRedisValue>(self) -> Result<Vec<T>> {
        self.0.map(|value| T::from_redis_value(value).map_err(|error| Error::Protocol(error.to_string()))).collect()
    }
}

/// A string in which bytes that are not UTF-8 are replaced. One entry of another program must not
/// hide the rest of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::store) struct LossyText(pub(crate) String);

impl FromRedisValue for LossyText {
    fn from_redis_value(value: Value) -> std::result::Result<Self, ParsingError> {
        match value {
            Value::Int(number) => Ok(Self(number.to_string())),
            other => Vec::<u8>::from_redis_value(other).map(|bytes| Self(String::from_utf8_lossy(&bytes).into_owned())),
        }
    }
}

/// Fields of a hash, read as [`LossyText`].
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Fields(HashMap<String, String>);

impl Fields {
    /// Returns a field as a number, or 0 if it is missing or not a number.
    pub(in crate::store) fn number<T: std::str::FromStr + Default>(&self, field: &str) -> T {
        self.0.get(field).and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    pub(in crate::store) fn into_inner(self) -> HashMap<String, String> {
        self.0
    }
}

impl Deref for Fields {
    type Target = HashMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FromRedisValue for Fields {
    fn from_redis_value(value: Value) -> std::result::Result<Self, ParsingError> {
        let pairs: Vec<(LossyText, LossyText)> = Vec::from_redis_value(value)?;
        Ok(Self(pairs.into_iter().map(|(name, value)| (name.0, value.0)).collect()))
    }
}

/// Error for a word that no version of the scripts returns.
pub(in crate::store) fn unexpected(word: &str) -> Error {
    Error::Protocol(format!("unknown word {word:?}"))
}

//! Replies of scripts, taken apart.

use std::{collections::HashMap, ops::Deref};

use redis::{FromRedisValue, ParsingError, Value};

use crate::{Error, Result};

/// The words of one reply, read from the front.
pub(super) struct Words(std::vec::IntoIter<Value>);

impl Words {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    /// The next word, as whatever it should be.
    pub(super) fn next<T: FromRedisValue>(&mut self) -> Result<T> {
        let value = self.0.next().ok_or_else(|| Error::Protocol("a reply ended too early".to_owned()))?;
        T::from_redis_value(value).map_err(|error| Error::Protocol(error.to_string()))
    }

    /// Whether all were read.
    pub(super) fn are_over(&self) -> bool {
        self.0.as_slice().is_empty()
    }

    /// What is left, each as a reply of its own.
    pub(super) fn rest<T: FromRedisValue>(self) -> Result<Vec<T>> {
        self.0.map(|value| T::from_redis_value(value).map_err(|error| Error::Protocol(error.to_string()))).collect()
    }
}

/// A string. Bytes that are not UTF-8 are replaced: what somebody else wrote into a list must not hide the rest of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Text(pub(super) String);

impl FromRedisValue for Text {
    fn from_redis_value(value: Value) -> std::result::Result<Self, ParsingError> {
        match value {
            Value::Int(number) => Ok(Self(number.to_string())),
            other => Vec::<u8>::from_redis_value(other).map(|bytes| Self(String::from_utf8_lossy(&bytes).into_owned())),
        }
    }
}

/// The fields of a hash, read as [`Text`].
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(HashMap<String, String>);

impl Fields {
    /// Returns a field as a number, 0 where there is none or it is not a number.
    pub(super) fn number<T: std::str::FromStr + Default>(&self, field: &str) -> T {
        self.0.get(field).and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    pub(super) fn into_inner(self) -> HashMap<String, String> {
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
        let pairs: Vec<(Text, Text)> = Vec::from_redis_value(value)?;
        Ok(Self(pairs.into_iter().map(|(name, value)| (name.0, value.0)).collect()))
    }
}

/// A word that no version of ours ever answered.
pub(super) fn unexpected(word: &str) -> Error {
    Error::Protocol(format!("the word {word:?}"))
}

//! Replies of scripts, taken apart.

use redis::{FromRedisValue, Value};

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

/// A word that no version of ours ever answered.
pub(super) fn unexpected(word: &str) -> Error {
    Error::Protocol(format!("the word {word:?}"))
}

//! Reply that refuses a command or a mail.

use std::{fmt, ops::Deref};

use crate::reply::Reply;

/// A reply of class 4yz or 5yz.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(Reply);

impl Refusal {
    /// Converts a reply of class 4yz or 5yz.
    ///
    /// # Errors
    /// Returns a reply of another class unchanged.
    pub fn of(reply: Reply) -> Result<Self, Reply> {
        if reply.is_refusal() { Ok(Self(reply)) } else { Err(reply) }
    }
}

impl Deref for Refusal {
    type Target = Reply;

    fn deref(&self) -> &Reply {
        &self.0
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

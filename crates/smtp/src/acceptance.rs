//! Reply that accepts a mail.

use std::{fmt, ops::Deref};

use crate::reply::Reply;

/// A positive reply (2yz) to the final dot, by which a server takes responsibility for a mail (RFC
/// 5321 §4.2.5, §6.1).
///
/// Any 2yz reply counts, not only 250: a client decides by the first digit if it does not know the
/// others (RFC 5321 §4.2). Only the read of the reply to the final dot creates an acceptance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance(Reply);

impl Acceptance {
    /// Converts the reply to a final dot.
    ///
    /// # Errors
    /// Returns a reply of another class unchanged.
    pub(crate) fn at_the_dot(reply: Reply) -> Result<Self, Reply> {
        if reply.is_positive() { Ok(Self(reply)) } else { Err(reply) }
    }
}

impl Deref for Acceptance {
    type Target = Reply;

    fn deref(&self) -> &Reply {
        &self.0
    }
}

impl fmt::Display for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

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

    /// Whether this closing reply (421) to the final dot shows that the mail was not taken.
    pub(crate) fn closes_without_the_mail(&self) -> bool {
        self.is_closing() && !self.is_about_next_server()
    }

    /// Whether a relay reports, as its reply to the final dot, that its connection to the next
    /// server ended. The next server may have the mail then.
    ///
    /// Every 421 with a network code (X.4.X, RFC 3463) counts, and X.4.2 ("bad connection") of any
    /// other reply if the text names another server.
    pub(crate) fn is_about_next_server(&self) -> bool {
        const WORDS: [&str; 7] =
            ["lost connection", "connection lost", "relay", "upstream", "backend", "remote", "proxy"];
        let text = self.message().to_lowercase();
        let has_words = WORDS.iter().any(|words| text.contains(words));
        match self.enhanced.map(|enhanced| (enhanced.class, enhanced.subject, enhanced.detail)) {
            Some((4, 4, _)) if self.is_closing() => true,
            Some((4, 4, 2)) => has_words,
            Some(_) => false,
            None => self.is_closing() && has_words,
        }
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

//! One run of a Redis server: from its start to its end, or to another server's taking over.

use std::fmt;

/// One run of a Redis server. Another run may lack the last second of what this one knew.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunId(String);

impl RunId {
    /// As INFO tells it. A server that was a replica in between goes on under another name of its data; one that does not say
    /// its name goes by one for ever, so that its restarts stay unnoticed.
    pub(super) fn new(run: &str, data: &str) -> Self {
        let run = if run.is_empty() { "unnamed" } else { run };
        Self(format!("{run}.{data}"))
    }

    /// The name of the run, the same for all who ask.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RunId {
    /// A run by its name.
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

//! Identity of one run of a Redis server.

use std::fmt;

/// Id of one run of a Redis server. Another run may lack the last second of this one's writes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunId(String);

impl RunId {
    /// Builds an id from `run_id` and `master_replid` of INFO.
    ///
    /// A promoted replica has another `master_replid`. Without a `run_id`, restarts of the server
    /// can't be detected.
    pub(in crate::store) fn new(run: &str, data: &str) -> Self {
        let run = if run.is_empty() { "unnamed" } else { run };
        Self(format!("{run}.{data}"))
    }

    /// Returns the id as text, which is the same in all processes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RunId {
    /// Restores a run id from its text.
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

//! Ids of processes.

use std::fmt;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Unique id of one run of a worker process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WorkerId(String);

impl WorkerId {
    /// Returns a new unique id that starts with the host name and the process id.
    #[must_use]
    pub fn generate() -> Self {
        let host = gethostname::gethostname().to_string_lossy().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let unique = Ulid::generate().to_string();
        Self(format!("{host}-{}-{}", std::process::id(), &unique[18..]))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

//! The id of a job or of a batch.

use std::{fmt, str::FromStr};

use postroom_core::{BatchId, InvalidInput, JobId};

/// One argument that names a job or a batch.
#[derive(Debug, Clone)]
pub(crate) enum Id {
    Job(JobId),
    Batch(BatchId),
}

impl FromStr for Id {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        if text.starts_with("b.") { text.parse().map(Self::Batch) } else { text.parse().map(Self::Job) }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(id) => id.fmt(f),
            Self::Batch(id) => id.fmt(f),
        }
    }
}

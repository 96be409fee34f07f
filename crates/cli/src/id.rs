//! The id of a job or a batch as an argument.

use std::{fmt, str::FromStr};

use postroom_core::{BatchId, InvalidInput, JobId};

/// Id of a job or a batch; an id of a batch begins with `b.`.
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

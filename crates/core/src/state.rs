//! Where a job is in its life.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::InvalidInput;

/// The state of a job. The words are part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for its time.
    Scheduled,
    /// May be taken now.
    Queued,
    /// A worker holds its lease.
    Sending,
    /// Failed for now, or put back; will be tried again at a time.
    Deferred,
    /// Accepted by the next server or the provider.
    Sent,
    /// Given up: attempts spent, or refused for good.
    Failed,
    /// Not sent on purpose; the reason says by whom or why.
    Cancelled,
    /// It can't be known whether it went out; waits for the policy or a person.
    Unknown,
}

impl JobState {
    /// Every state, in the order of a job's life.
    pub const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::Queued,
        Self::Sending,
        Self::Deferred,
        Self::Sent,
        Self::Failed,
        Self::Cancelled,
        Self::Unknown,
    ];

    /// The word for it, in the protocol and on screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Deferred => "deferred",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// Whether nothing more happens to the job by itself, except that an unknown one may be resolved.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Sent | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = InvalidInput;

    fn from_str(word: &str) -> Result<Self, InvalidInput> {
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| {
            let words = Self::ALL.map(Self::as_str).join(", ");
            InvalidInput::new("state", format!("{word:?} is no state; it may be {words}"))
        })
    }
}

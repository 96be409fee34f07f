//! States of a job.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::InvalidInput;

/// State of a job. The words are part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waiting for its due time.
    Scheduled,
    /// Ready to be claimed.
    Queued,
    /// Claimed by a worker under a lease.
    Sending,
    /// Failed temporarily or released; retried at a later time.
    Deferred,
    /// Accepted by the next server or the provider.
    Sent,
    /// Failed permanently: rejected, or out of attempts.
    Failed,
    /// Not sent on purpose; the reason says why.
    Cancelled,
    /// The outcome is not known; the policy or a person decides.
    Unknown,
}

impl JobState {
    /// All states, in the order of a job's lifecycle.
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

    /// Returns the word used in the protocol and in output.
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

    /// Whether the state is final. An unknown job is not: it may still be resolved.
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
            InvalidInput::new("state", format!("{word:?} is not a state; it may be {words}"))
        })
    }
}

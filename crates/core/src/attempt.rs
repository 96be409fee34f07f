//! One try at sending a job, as its story tells it.

use serde::{Deserialize, Serialize};

use crate::EmailAddress;

/// One try. Stored as a line of JSON; `at_ms` is told as RFC 3339 by [`crate::JobReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Its number, from 1. Where one transport took over from another, the tries by both share it.
    pub n: u32,
    /// Whether it counts against the limit on attempts.
    pub counted: bool,
    /// When it began.
    pub at_ms: i64,
    /// The transport's name.
    #[serde(default)]
    pub transport: String,
    /// How far the conversation got.
    #[serde(default)]
    pub phase: Option<String>,
    /// The reply code.
    #[serde(default)]
    pub code: Option<u16>,
    /// The enhanced status code (RFC 3463).
    #[serde(default)]
    pub enhanced: Option<String>,
    /// The server's words.
    #[serde(default)]
    pub reply: String,
    /// The verdict on the whole try.
    pub verdict: String,
    /// How long it took.
    #[serde(default)]
    pub ms: u64,
}

/// What became of one recipient so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientReport {
    /// The address.
    pub address: EmailAddress,
    /// Where it stands.
    pub result: RecipientResult,
    /// The server's words about this recipient, when it was not simply accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// Where a recipient stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientResult {
    /// Not settled yet: the next attempt goes to these.
    Open,
    /// Accepted by the next server.
    Accepted,
    /// Refused for good.
    Refused,
}

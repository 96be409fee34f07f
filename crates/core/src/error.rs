//! Errors that a caller can branch on.

/// An invalid value: which field, what was wrong, and what it may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidInput {
    /// Field, flag, column or setting with the value.
    pub field: String,
    /// Description of the invalid value, and the values that are valid.
    pub problem: String,
}

impl InvalidInput {
    /// Returns an error about `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// Returns the same problem for another field, such as the flag or column of the value.
    #[must_use]
    pub fn at(self, field: impl Into<String>) -> Self {
        Self { field: field.into(), ..self }
    }
}

/// Errors of operations on the job store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Invalid input; nothing was stored.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// Redis can't be reached, or did not reply in time. The command may have run anyway.
    #[error("Redis is unavailable ({0})")]
    Away(String),
    /// Redis was restarted, and this process has not resynchronised with the new instance. Nothing
    /// was sent.
    #[error("Redis was restarted, and this process has not resynchronised yet")]
    NotSynced,
    /// Redis reached its memory limit. New mail is refused, while stored mail is still sent.
    #[error("Redis is full (maxmemory reached): new mail is refused until memory is available")]
    Full,
    /// No such job, batch or queue.
    #[error("{0} was not found")]
    NotFound(String),
    /// The request contradicts the stored state: already sent, or other content under the same key.
    #[error("{0}")]
    Conflict(String),
    /// The queue uses a newer protocol than this process.
    #[error("the queue uses protocol {theirs}, this process supports {ours}: upgrade it")]
    NewerProtocol {
        /// Protocol version of the queue.
        theirs: u32,
        /// Protocol version of this process.
        ours: u32,
    },
    /// A key has a value of another type than expected: damage, or data of another program.
    #[error("a key in Redis has a value of the wrong type: {0}")]
    WrongType(String),
    /// An unexpected reply of Redis: a defect, or data of another program.
    #[error("unexpected reply from Redis: {0}")]
    Protocol(String),
}

impl Error {
    /// Whether a retry may help: Redis is unavailable, full, or waits for a resync of this process.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Away(_) | Self::NotSynced | Self::Full)
    }
}

/// Result of an operation on the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

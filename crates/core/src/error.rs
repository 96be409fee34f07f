//! Errors a caller can branch on.

/// A value that is not what it may be: which field, what was wrong, what it may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidInput {
    /// The field, flag, column or setting that holds the value.
    pub field: String,
    /// What was wrong and what the value may be.
    pub problem: String,
}

impl InvalidInput {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The same problem, told of another field (a flag, a column) where the value came from.
    #[must_use]
    pub fn at(self, field: impl Into<String>) -> Self {
        Self { field: field.into(), ..self }
    }
}

/// What can go wrong between a process and the job store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bad input; nothing was stored.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// Redis can't be reached, or did not answer in time. The command may have run all the same.
    #[error("Redis is away ({0})")]
    Away(String),
    /// Redis is there, but another run of it than the one that heard what this process knows: that comes first. Nothing was
    /// said.
    #[error("Redis was restarted, and this process has yet to say what it knows")]
    NotSynced,
    /// Redis has no memory left; it refuses new mail and lets what waits drain.
    #[error("Redis is full (maxmemory reached): new mail is refused until there is room")]
    Full,
    /// No job, batch or queue of that name.
    #[error("{0} was not found")]
    NotFound(String),
    /// What was asked does not fit the state of things: already sent, other content under the same key.
    #[error("{0}")]
    Conflict(String),
    /// The queue speaks a newer protocol than this process.
    #[error("the queue speaks protocol {theirs}, this process speaks {ours}: upgrade it")]
    NewerProtocol {
        /// The protocol version of the queue.
        theirs: u32,
        /// The protocol version of this process.
        ours: u32,
    },
    /// A key holds a value of another type than it should: damage, or another program's data.
    #[error("a key in Redis has a value of the wrong type: {0}")]
    WrongType(String),
    /// Redis answered something that it never should: a defect, or somebody else's data.
    #[error("unexpected answer from Redis: {0}")]
    Protocol(String),
}

impl Error {
    /// Whether trying again later may help: Redis was away, full, or has not heard yet what comes first.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Away(_) | Self::NotSynced | Self::Full)
    }
}

/// The result of a conversation with the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

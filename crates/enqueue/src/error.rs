//! Errors of enqueueing and of sending in the foreground.

use postroom_core::InvalidInput;
use postroom_mail::{Attempt, Verdict};

/// Why a mail was not enqueued, or not sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Invalid input, or an error of the job store. Nothing was stored if the input was invalid.
    #[error(transparent)]
    Core(#[from] postroom_core::Error),
    /// A mail sent in the foreground was not accepted.
    #[error(transparent)]
    NotSent(#[from] NotSent),
    /// The mail was enqueued, but Redis did not confirm in time that it is durable. Enqueueing it
    /// again under the same key or id is safe.
    #[error("{id} may or may not be durable: {reason}")]
    Unsure {
        /// Id of the job or batch.
        id: String,
        /// Why Redis did not confirm.
        reason: postroom_core::Error,
    },
}

impl Error {
    /// Returns [`Error::Unsure`] for an outage of Redis, which leaves the result open, and
    /// [`Error::Core`] for the rest.
    pub(crate) fn unsure(id: &impl ToString, reason: postroom_core::Error) -> Self {
        match reason {
            postroom_core::Error::Away(_) | postroom_core::Error::NotSynced => {
                Self::Unsure { id: id.to_string(), reason }
            }
            reason => Self::Core(reason),
        }
    }
}

/// A mail sent in the foreground that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the mail was not sent ({verdict}): {reply}")]
pub struct NotSent {
    /// Result of the attempt. With [`Verdict::Unknown`] the mail may have been sent.
    pub verdict: Verdict,
    /// Reply of the server, or the error.
    pub reply: String,
}

impl From<InvalidInput> for Error {
    fn from(problem: InvalidInput) -> Self {
        Self::Core(problem.into())
    }
}

impl From<Attempt> for NotSent {
    fn from(attempt: Attempt) -> Self {
        Self { verdict: attempt.verdict, reply: attempt.reply }
    }
}

/// Result of enqueueing or sending.
pub type Result<T, E = Error> = std::result::Result<T, E>;

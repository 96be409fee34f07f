//! What can go wrong on the way in.

use postroom_core::InvalidInput;
use postroom_mail::{Attempt, Verdict};

/// Why a mail was not handed over, or not sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bad input, or the job store; nothing new was stored when the input was bad.
    #[error(transparent)]
    Core(#[from] postroom_core::Error),
    /// A mail sent in the foreground was not accepted.
    #[error(transparent)]
    NotSent(#[from] NotSent),
    /// It was handed over, but Redis did not say in time that it keeps it. To hand it over again under the same key, or the
    /// same id, is safe.
    #[error("{id} may or may not be kept: {reason}")]
    Unsure {
        /// The job or batch.
        id: String,
        /// What kept Redis from saying so.
        reason: postroom_core::Error,
    },
}

impl Error {
    /// Only an outage leaves it open; what else went wrong is told as it is.
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
    /// What the outcome means. With [`Verdict::Unknown`] it may have gone out all the same.
    pub verdict: Verdict,
    /// The server's words, or what went wrong.
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

/// The result of handing over or sending.
pub type Result<T, E = Error> = std::result::Result<T, E>;

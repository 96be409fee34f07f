//! How a command ends: its exit code, and what is said when it is not 0.

use std::process::ExitCode;

use postroom_core::InvalidInput;
use postroom_mail::Verdict;
use serde::Serialize;

use crate::{Error, NotSent};

/// The exit codes other people's scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Away = 3,
    NotFound = 4,
    Unfinished = 5,
    InDoubt = 6,
    Conflict = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Failure {
    #[serde(skip)]
    pub(crate) exit: Exit,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) field: Option<String>,
}

/// The result of a command.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into(), field: None }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, "failed", message)
    }

    pub(crate) fn in_doubt(message: impl Into<String>) -> Self {
        Self::new(Exit::InDoubt, "in_doubt", message)
    }

    pub(crate) fn unfinished(message: impl Into<String>) -> Self {
        Self::new(Exit::Unfinished, "not_finished", message)
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(Exit::NotFound, "not_found", format!("{what} was not found"))
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(Exit::Conflict, "conflict", message)
    }

    pub(crate) fn usage(field: &str, problem: impl Into<String>) -> Self {
        InvalidInput::new(field, problem).into()
    }

    /// The same, with what it means for the person.
    #[must_use]
    pub(crate) fn because(self, more: &str) -> Self {
        Self { message: format!("{}; {more}", self.message), ..self }
    }
}

impl From<InvalidInput> for Failure {
    fn from(problem: InvalidInput) -> Self {
        let message = problem.to_string();
        Self { field: Some(problem.field), ..Self::new(Exit::Usage, "invalid", message) }
    }
}

impl From<postroom_core::Error> for Failure {
    fn from(error: postroom_core::Error) -> Self {
        use postroom_core::Error as E;
        let message = error.to_string();
        match error {
            E::Invalid(problem) => problem.into(),
            E::Away(_) | E::NotSynced => Self::new(Exit::Away, "redis_away", message),
            E::Full => Self::new(Exit::Away, "redis_full", message),
            E::NotFound(_) => Self::new(Exit::NotFound, "not_found", message),
            E::Conflict(_) => Self::conflict(message),
            E::NewerProtocol { .. } => Self::new(Exit::Failed, "newer_protocol", message),
            E::WrongType(_) | E::Protocol(_) => Self::new(Exit::Failed, "protocol", message),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Core(error) => error.into(),
            Error::NotSent(not_sent) => not_sent.into(),
            Error::Unsure { .. } => Self::new(Exit::Away, "unsure", message),
        }
    }
}

impl From<NotSent> for Failure {
    fn from(not_sent: NotSent) -> Self {
        let message = not_sent.to_string();
        if not_sent.verdict == Verdict::Unknown { Self::in_doubt(message) } else { Self::failed(message) }
    }
}

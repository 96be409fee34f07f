//! Exit codes and errors of commands.

use std::process::ExitCode;

use postroom_core::InvalidInput;
use postroom_enqueue::{Error, NotSent};
use postroom_mail::Verdict;
use serde::Serialize;

/// Exit codes. Scripts of users rely on them.
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

/// Why a command failed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CommandError {
    #[serde(skip)]
    pub(crate) exit: Exit,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) field: Option<String>,
}

/// Result of a command.
pub(crate) type Result<T, E = CommandError> = std::result::Result<T, E>;

impl CommandError {
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

    /// Returns an error about a name that nothing has, with the names that exist.
    pub(crate) fn unknown<'a>(kind: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let others =
            if known.is_empty() { "none exists".to_owned() } else { format!("it may be {}", known.join(", ")) };
        let error = Self::new(Exit::NotFound, "not_found", format!("there is no {kind} {name}; {others}"));
        Self { field: Some(kind.to_owned()), ..error }
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(Exit::Conflict, "conflict", message)
    }

    pub(crate) fn usage(field: &str, problem: impl Into<String>) -> Self {
        InvalidInput::new(field, problem).into()
    }

    /// Appends more information to the message.
    #[must_use]
    pub(crate) fn with_detail(self, more: &str) -> Self {
        Self { message: format!("{}; {more}", self.message), ..self }
    }
}

impl From<InvalidInput> for CommandError {
    fn from(problem: InvalidInput) -> Self {
        let message = problem.to_string();
        Self { field: Some(problem.field), ..Self::new(Exit::Usage, "invalid", message) }
    }
}

impl From<postroom_core::Error> for CommandError {
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

impl From<Error> for CommandError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Core(error) => error.into(),
            Error::NotSent(not_sent) => not_sent.into(),
            Error::Unsure { .. } => Self::new(Exit::Away, "unsure", message),
        }
    }
}

impl From<NotSent> for CommandError {
    fn from(not_sent: NotSent) -> Self {
        let message = not_sent.to_string();
        if not_sent.verdict == Verdict::Unknown { Self::in_doubt(message) } else { Self::failed(message) }
    }
}

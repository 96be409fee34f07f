//! Verdicts other than `Accepted`.

use postroom_smtp::{ErrorKind, Phase, Refusal, SmtpError};

use super::{Blame, Verdict, table};

/// Every [`Verdict`] except `Accepted`, with the same names. Refusals, errors and unexpected
/// replies are converted to this type, so none of them can become an acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAccepted {
    Later,
    Greylisted,
    TooManyRecipients,
    Throttled,
    NothingSent,
    RecipientRefused,
    ContentRefused,
    PolicyRefused,
    TooBig,
    Account,
    Invalid,
    Unknown,
    Aborted,
}

impl NotAccepted {
    /// Verdict on a server's refusal in a phase of the session.
    pub(crate) fn of_refusal(phase: Phase, refusal: &Refusal) -> Self {
        Self::with_blame(phase, refusal).0
    }

    /// Verdict on a server's refusal, and what the refusal is about.
    pub(crate) fn with_blame(phase: Phase, refusal: &Refusal) -> (Self, Blame) {
        table::judge(phase, refusal.code, refusal.enhanced, &refusal.message())
    }

    /// Verdict on an error of a session.
    pub(crate) fn of_error(error: &SmtpError) -> Self {
        if error.is_in_doubt() {
            return Self::Unknown;
        }
        match error.kind() {
            ErrorKind::Refused(refusal) => Self::of_refusal(error.phase(), refusal),
            ErrorKind::TooBig { .. } => Self::TooBig,
            ErrorKind::SmtpUtf8Missing(_) | ErrorKind::EightBitMissing => Self::Invalid,
            ErrorKind::AuthMissing => Self::Account,
            ErrorKind::Aborted => Self::Aborted,
            ErrorKind::Io(_)
            | ErrorKind::Closed
            | ErrorKind::Timeout(_)
            | ErrorKind::Unexpected(_)
            | ErrorKind::PipeliningRejected(_)
            | ErrorKind::ReplyTooLong
            | ErrorKind::BadHost(_)
            | ErrorKind::StartTlsMissing
            | ErrorKind::PlainAfterStartTls
            | ErrorKind::NotReusable => Self::NothingSent,
        }
    }
}

impl From<NotAccepted> for Verdict {
    fn from(not_accepted: NotAccepted) -> Self {
        match not_accepted {
            NotAccepted::Later => Self::Later,
            NotAccepted::Greylisted => Self::Greylisted,
            NotAccepted::TooManyRecipients => Self::TooManyRecipients,
            NotAccepted::Throttled => Self::Throttled,
            NotAccepted::NothingSent => Self::NothingSent,
            NotAccepted::RecipientRefused => Self::RecipientRefused,
            NotAccepted::ContentRefused => Self::ContentRefused,
            NotAccepted::PolicyRefused => Self::PolicyRefused,
            NotAccepted::TooBig => Self::TooBig,
            NotAccepted::Account => Self::Account,
            NotAccepted::Invalid => Self::Invalid,
            NotAccepted::Unknown => Self::Unknown,
            NotAccepted::Aborted => Self::Aborted,
        }
    }
}

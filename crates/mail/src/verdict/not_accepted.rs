//! Verdicts other than `Accepted`.

use postroom_smtp::{Phase, Refusal, SmtpError, Trouble};

use super::{Verdict, table};

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
        table::judge(phase, refusal.code, refusal.enhanced, &refusal.message())
    }

    /// Verdict on an error of a session.
    pub(crate) fn of_error(error: &SmtpError) -> Self {
        if error.is_in_doubt() {
            return Self::Unknown;
        }
        match error.trouble() {
            Trouble::Refused(refusal) => Self::of_refusal(error.phase(), refusal),
            Trouble::TooBig { .. } => Self::TooBig,
            Trouble::SmtpUtf8Missing(_) | Trouble::EightBitMissing => Self::Invalid,
            Trouble::AuthMissing => Self::Account,
            Trouble::Aborted => Self::Aborted,
            Trouble::Io(_)
            | Trouble::Closed
            | Trouble::Timeout(_)
            | Trouble::Unexpected(_)
            | Trouble::OutOfStep(_)
            | Trouble::ReplyTooLong
            | Trouble::BadHost(_)
            | Trouble::StartTlsMissing
            | Trouble::PlainAfterStartTls
            | Trouble::NotReusable => Self::NothingSent,
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

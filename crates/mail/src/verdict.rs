//! Verdict: what the result of an attempt means for the mail.

mod not_accepted;
pub(crate) mod resend;
mod table;

use std::fmt;

use postroom_smtp::Reply;
use serde::{Deserialize, Serialize};

pub(crate) use self::not_accepted::NotAccepted;
pub use self::table::Blame;

/// Verdict on a mail, or on one of its recipients.
///
/// | word | counts as an attempt | next |
/// | --- | --- | --- |
/// | `accepted` | no | sent |
/// | `later` | yes | retried |
/// | `greylisted` | no | retried after some minutes, by the same transport |
/// | `too_many_recipients` | no | sent at once, in another transaction |
/// | `throttled`, `nothing_sent`, `account` | no | retried: the mail is not at fault |
/// | `recipient_refused`, `content_refused`, `policy_refused`, `too_big`, `invalid` | yes | failed
/// |
/// | `unknown` | no | decided by `on_unknown` of the queue |
/// | `aborted` | no | nothing: the caller aborted the attempt |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Accepted by the next server: a 2yz reply to the final dot, or the success answer of a
    /// provider. Created only by `Attempt::accepted`.
    Accepted,
    /// Temporarily refused, such as by a full mailbox or a failure of the server.
    Later,
    /// Temporarily refused because the sender is unknown to the server, or because an earlier
    /// request is still in progress. Accepted if the same mail is sent again after some minutes.
    Greylisted,
    /// Exceeds the number of recipients that the server accepts in a transaction; others were
    /// accepted in this one.
    TooManyRecipients,
    /// Exceeds a rate or quota of the server.
    Throttled,
    /// Nothing was sent: connection, TLS or greeting failed, or the server is shutting down.
    NothingSent,
    /// The address is refused.
    RecipientRefused,
    /// The content is refused.
    ContentRefused,
    /// Our set-up is refused: host name, IP address, relaying, SPF, DKIM, DMARC, or a sender
    /// address that this account may not use. A worker records it only after the server has
    /// accepted another mail; until then the mail has the verdict `account`.
    PolicyRefused,
    /// The message exceeds the size limit of the server.
    TooBig,
    /// The login, the account or our set-up is refused. No mail fails because of it.
    Account,
    /// The mail can't be rendered, composed or expressed to this server.
    Invalid,
    /// The connection was lost after the message was sent. The server may have accepted it.
    Unknown,
    /// The caller aborted the attempt at the commit point.
    Aborted,
}

impl Verdict {
    /// Returns the verdict on a mail from those on its recipients. While one is open the mail is
    /// retried. Otherwise it is accepted if one of them was accepted.
    #[must_use]
    pub fn of_mail(recipients: impl IntoIterator<Item = Self>) -> Self {
        recipients.into_iter().max_by_key(|verdict| verdict.weight()).unwrap_or(Self::Invalid)
    }

    /// Whether the verdict fails the mail at once.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::RecipientRefused | Self::ContentRefused | Self::PolicyRefused | Self::TooBig | Self::Invalid => true,
            Self::Accepted
            | Self::Later
            | Self::Greylisted
            | Self::TooManyRecipients
            | Self::Throttled
            | Self::NothingSent
            | Self::Account
            | Self::Unknown
            | Self::Aborted => false,
        }
    }

    /// Whether the verdict uses up an attempt. Only replies about this very mail do.
    #[must_use]
    pub fn counts(self) -> bool {
        self.is_final() || self == Self::Later
    }

    /// Whether the transport is at fault, not the mail, and nothing was sent: connection, limit or
    /// login. Another transport may take over at once, and no attempt is counted.
    #[must_use]
    pub fn blames_transport(self) -> bool {
        match self {
            Self::Throttled | Self::NothingSent | Self::Account => true,
            Self::Accepted
            | Self::Later
            | Self::Greylisted
            | Self::TooManyRecipients
            | Self::RecipientRefused
            | Self::ContentRefused
            | Self::PolicyRefused
            | Self::TooBig
            | Self::Invalid
            | Self::Unknown
            | Self::Aborted => false,
        }
    }

    /// Whether a refusal with this reply means that the address is invalid and goes on the
    /// suppression list.
    #[must_use]
    pub fn suppresses(self, reply: &Reply) -> bool {
        self == Self::RecipientRefused && table::is_bad_address(reply.code, reply.enhanced, &reply.message())
    }

    /// Name in JSON, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Later => "later",
            Self::Greylisted => "greylisted",
            Self::TooManyRecipients => "too_many_recipients",
            Self::Throttled => "throttled",
            Self::NothingSent => "nothing_sent",
            Self::RecipientRefused => "recipient_refused",
            Self::ContentRefused => "content_refused",
            Self::PolicyRefused => "policy_refused",
            Self::TooBig => "too_big",
            Self::Account => "account",
            Self::Invalid => "invalid",
            Self::Unknown => "unknown",
            Self::Aborted => "aborted",
        }
    }

    /// Precedence among the verdicts of several recipients; the highest decides for the mail.
    ///
    /// One unknown result makes the mail unknown. Surplus recipients are sent to at once, since
    /// each such attempt completes others. Verdicts that count as attempts precede those that
    /// don't, so that no combination is retried for ever. Accepted precedes refused.
    pub(crate) fn weight(self) -> u8 {
        match self {
            Self::Unknown => 9,
            Self::Aborted => 8,
            Self::TooManyRecipients => 7,
            Self::Later => 6,
            Self::Greylisted => 5,
            Self::Throttled => 4,
            Self::NothingSent | Self::Account => 3,
            Self::Accepted => 2,
            Self::RecipientRefused | Self::ContentRefused | Self::PolicyRefused | Self::TooBig | Self::Invalid => 1,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::*;

    #[test]
    fn its_name_is_its_json_value() {
        for verdict in [
            Accepted,
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
        ] {
            assert_eq!(serde_json::to_value(verdict).expect("JSON"), verdict.as_str());
            assert!(!(verdict.counts() && verdict.blames_transport()), "{verdict}");
        }
    }

    #[test]
    fn the_verdicts_of_the_recipients_decide_for_the_mail() {
        for (recipients, mail) in [
            (&[Accepted][..], Accepted),
            (&[RecipientRefused, Accepted], Accepted),
            (&[RecipientRefused, ContentRefused], ContentRefused),
            (&[RecipientRefused, Later], Later),
            (&[Accepted, Throttled, RecipientRefused], Throttled),
            (&[Accepted, Throttled, Later], Later),
            (&[Accepted, Greylisted, Throttled], Greylisted),
            (&[Greylisted, Later], Later),
            (&[Accepted, Later, TooManyRecipients, RecipientRefused], TooManyRecipients),
            (&[Accepted, TooManyRecipients, Unknown], Unknown),
            (&[Unknown, RecipientRefused], Unknown),
            (&[], Invalid),
        ] {
            assert_eq!(super::Verdict::of_mail(recipients.iter().copied()), mail, "{recipients:?}");
        }
    }
}

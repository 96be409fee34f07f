//! One word for what an outcome means.

mod not_accepted;
pub(crate) mod resend;
mod table;

use std::fmt;

use postroom_smtp::Reply;
use serde::{Deserialize, Serialize};

pub(crate) use self::not_accepted::NotAccepted;

/// What an outcome means for a mail, or for one recipient of it.
///
/// | word | counts as an attempt | next |
/// | --- | --- | --- |
/// | `accepted` | no | sent |
/// | `later` | yes | tried again |
/// | `greylisted` | no | tried again after some minutes, by the same transport |
/// | `too_many_recipients` | no | goes at once, in another transaction |
/// | `throttled`, `nothing_sent`, `account` | no | tried again: it says nothing about this mail |
/// | `recipient_refused`, `content_refused`, `policy_refused`, `too_big`, `invalid` | yes | failed |
/// | `unknown` | no | the queue's `on_unknown` decides |
/// | `aborted` | no | nothing: the caller said so |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Accepted by the next server: a 2yz reply to the final dot, or the success answer of a provider. Nothing else makes one:
    /// see `Attempt::accepted`.
    Accepted,
    /// Refused for now: a full mailbox, trouble on the other side.
    Later,
    /// Refused because we are strangers, or an earlier request for it is still under way: taken if the same comes again after
    /// some minutes.
    Greylisted,
    /// One more recipient than the server takes in a transaction; others of the mail were accepted in this one.
    TooManyRecipients,
    /// We send too fast or too much for now.
    Throttled,
    /// Nothing was sent: connection, TLS, greeting, or the server is closing.
    NothingSent,
    /// This address is not taken.
    RecipientRefused,
    /// This content is not taken.
    ContentRefused,
    /// Not from us: SPF, DKIM, DMARC, a block list, a sender that we may not use.
    PolicyRefused,
    /// Larger than the server takes.
    TooBig,
    /// Our login or account; no mail fails because of it.
    Account,
    /// Our own: it can't be rendered, composed or told to this server.
    Invalid,
    /// The message had left when the connection was lost: it can't be known.
    Unknown,
    /// The caller said no right before the bytes that commit it.
    Aborted,
}

impl Verdict {
    /// What its recipients' verdicts mean for a mail: as long as one is open it is tried again; else it is accepted
    /// if one of them was.
    #[must_use]
    pub fn of_mail(recipients: impl IntoIterator<Item = Self>) -> Self {
        recipients.into_iter().max_by_key(|verdict| verdict.weight()).unwrap_or(Self::Invalid)
    }

    /// Whether it fails at once.
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

    /// Whether it uses up an attempt: only what was said about this very mail does.
    #[must_use]
    pub fn counts(self) -> bool {
        self.is_final() || self == Self::Later
    }

    /// Whether it was about the transport, not the mail, and nothing was sent: connection, limit or login. Another
    /// transport may take over at once, and nothing is counted against the mail.
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

    /// Whether a refusal in these words is about the address itself, so that nothing should be sent to it again.
    #[must_use]
    pub fn suppresses(self, reply: &Reply) -> bool {
        self == Self::RecipientRefused && table::is_bad_address(reply.code, reply.enhanced, &reply.message())
    }

    /// The word for it in JSON, logs and metrics.
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

    /// Which of several recipients' verdicts speaks for the mail. In doubt about one is in doubt. Those who are left over
    /// go on at once, since each such try has brought others to their end. Else what counts beats what doesn't, so that
    /// no mixture is tried for ever; accepted beats refused.
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
    fn its_word_is_its_json() {
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
    fn recipients_make_up_the_mail() {
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

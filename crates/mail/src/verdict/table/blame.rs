//! Subject of a refusal: the mail, our set-up, or neither in plain words.

use postroom_smtp::Phase;

use super::{
    RefusedReply,
    words::{BUSY, CONTENT, RECIPIENT, UNKNOWN_RECIPIENT},
};
use crate::verdict::NotAccepted;

/// Subject of a refusal. Only a refusal that is plainly about the mail says nothing about the
/// transport.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Blame {
    /// Plainly this mail: its recipient or its content.
    #[default]
    Mail,
    /// The words name no subject. If all mails get the same reply, it is not about the mails.
    Unclear,
    /// Our set-up: host name, IP address, sender, domain, relaying. It fails no mail unless the
    /// server accepts other mails.
    Setup,
}

impl RefusedReply<'_> {
    /// Returns what the refusal with this verdict is about.
    pub(super) fn blame(&self, verdict: NotAccepted) -> Blame {
        match verdict {
            NotAccepted::PolicyRefused if self.is_restricted_recipient() => Blame::Mail,
            NotAccepted::PolicyRefused => Blame::Setup,
            NotAccepted::Later if self.is_about_us() => Blame::Setup,
            NotAccepted::Later | NotAccepted::RecipientRefused | NotAccepted::ContentRefused => {
                if self.is_plainly_about_the_mail() { Blame::Mail } else { Blame::Unclear }
            }
            NotAccepted::Greylisted
            | NotAccepted::TooManyRecipients
            | NotAccepted::Throttled
            | NotAccepted::NothingSent
            | NotAccepted::TooBig
            | NotAccepted::Account
            | NotAccepted::Invalid
            | NotAccepted::Unknown
            | NotAccepted::Aborted => Blame::Mail,
        }
    }

    fn is_plainly_about_the_mail(&self) -> bool {
        // Address (x.1.1 to x.1.3, x.1.6, x.1.10), mailbox (x.2.1 to x.2.4) and content (x.6).
        let digits = matches!(self.detail, Some((1, 1..=3 | 6 | 10) | (2, 1..=4) | (6, _)));
        let is_content = matches!(self.phase, Phase::Dot | Phase::Data) && self.contains_any(&CONTENT);
        digits
            || self.code == 556
            || is_content
            || self.contains_any(&UNKNOWN_RECIPIENT)
            || self.contains_any(&RECIPIENT)
            || self.contains_any(&[BUSY])
    }
}

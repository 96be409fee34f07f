//! Table that maps a server's refusal to a verdict. Codes take precedence over text, and the
//! enhanced code over the basic one. Text decides only where servers use one code for several
//! meanings.

mod blame;
#[cfg(test)]
mod session_errors;
#[cfg(test)]
mod subjects;
#[cfg(test)]
mod tests;
mod words;

use postroom_smtp::{EnhancedCode, Phase};

pub use self::blame::Blame;
use self::words::{
    ACCOUNT, BUSY, GREYLISTED, HELLO, LIMIT_REACHED, LOGIN, POLICY, RELAY, RETRY_LATER, SENDER, TOO_FAST, TROUBLE,
    UNKNOWN_RECIPIENT,
};
use super::NotAccepted;

/// Returns the verdict on a refusal, and what the refusal is about.
pub(super) fn judge(phase: Phase, code: u16, enhanced: Option<EnhancedCode>, text: &str) -> (NotAccepted, Blame) {
    let reply =
        RefusedReply { phase, code, detail: enhanced.map(|e| (e.subject, e.detail)), text: &text.to_lowercase() };
    let verdict = reply.verdict();
    (verdict, reply.blame(verdict))
}

/// Whether a refusal of a recipient means that the address is invalid and goes on the suppression
/// list. A bare 550 does not, since many servers use it for blocks. Neither does a full or busy
/// mailbox.
pub(super) fn is_bad_address(code: u16, enhanced: Option<EnhancedCode>, text: &str) -> bool {
    let bad = |e: EnhancedCode| matches!((e.class, e.subject, e.detail), (5, 1, 0..=3 | 6 | 10) | (5, 2, 1));
    (code == 556 || enhanced.is_some_and(bad)) && !text.to_lowercase().contains(BUSY)
}

/// Reply to be classified.
struct RefusedReply<'a> {
    phase: Phase,
    code: u16,
    detail: Option<(u16, u16)>,
    text: &'a str,
}

/// Whether the phase precedes the first command about a mail.
fn before_mail(phase: Phase) -> bool {
    match phase {
        Phase::Connect | Phase::Tls | Phase::Greeting | Phase::Ehlo | Phase::StartTls | Phase::Auth => true,
        // RSET completes the previous mail.
        Phase::Rset | Phase::Quit => true,
        Phase::Mail | Phase::Rcpt | Phase::Data | Phase::Body | Phase::Dot => false,
    }
}

impl RefusedReply<'_> {
    fn verdict(&self) -> NotAccepted {
        match self.code {
            _ if before_mail(self.phase) => self.judge_connection(),
            400..500 => self.judge_transient(),
            _ => self.judge_permanent(),
        }
    }

    fn judge_connection(&self) -> NotAccepted {
        if self.is_account() || (self.phase == Phase::Auth && self.code >= 500) {
            NotAccepted::Account
        } else if self.is_about_rate() {
            NotAccepted::Throttled
        } else {
            NotAccepted::NothingSent
        }
    }

    fn judge_transient(&self) -> NotAccepted {
        if self.is_account() {
            NotAccepted::Account
        } else if self.is_too_many_recipients() {
            NotAccepted::TooManyRecipients
        } else if self.is_greylisting() {
            NotAccepted::Greylisted
        // A limit of this connection: the next connection has its own.
        } else if self.code == 421 && self.is_about_this_connection() {
            NotAccepted::NothingSent
        } else if self.is_about_rate() {
            NotAccepted::Throttled
        // 421: the server closes the connection. 4.4.2: the server timed out. Neither is about this
        // mail.
        } else if self.code == 421 || self.detail == Some((4, 2)) {
            NotAccepted::NothingSent
        } else {
            NotAccepted::Later
        }
    }

    fn judge_permanent(&self) -> NotAccepted {
        if self.is_account() {
            NotAccepted::Account
        // Code that old servers use instead of 452 (RFC 5321 §4.5.3.1.10).
        } else if self.is_too_many_recipients() {
            NotAccepted::TooManyRecipients
        } else if self.is_limit_reached() {
            NotAccepted::Throttled
        } else if self.is_too_big() {
            NotAccepted::TooBig
        } else if self.is_out_of_step() {
            NotAccepted::NothingSent
        } else if self.is_restricted_recipient() || self.is_policy() {
            NotAccepted::PolicyRefused
        } else if self.is_about_the_recipient() {
            NotAccepted::RecipientRefused
        } else {
            NotAccepted::ContentRefused
        }
    }

    /// Whether the reply is about the login or the account. 530, 534, 535 and 538 are in any phase,
    /// and so are 5.7.700 to 5.7.750 of an Outlook tenant.
    fn is_account(&self) -> bool {
        let about_sender = matches!(self.detail, Some((1, 7 | 8)));
        let has_words = |words: &[&str]| (about_sender || !self.is_subject(1, 2)) && self.contains_any(words);
        // 5.7.703: the tenant's own list blocks the recipient.
        let is_tenant = matches!(self.detail, Some((7, 700..=702 | 704..=750)));
        matches!(self.code, 530 | 534 | 535 | 538)
            || (self.code >= 500 && is_tenant)
            || (!self.is_restricted_recipient() && has_words(&LOGIN))
            || (self.phase != Phase::Rcpt && has_words(&ACCOUNT) && !self.contains_any(&UNKNOWN_RECIPIENT))
    }

    /// Whether an Exchange mailbox or group accepts mail from certain senders only. Its text
    /// resembles that of a missing login, but it is about this recipient.
    fn is_restricted_recipient(&self) -> bool {
        matches!(self.detail, Some((7, 124 | 129 | 130..=139 | 703)))
            || self.contains_any(&["resolver.rst", "delivery restriction"])
    }

    /// Whether the reply is greylisting: the same mail from the same host is accepted after some
    /// minutes.
    fn is_greylisting(&self) -> bool {
        self.contains_any(&GREYLISTED)
            || self.contains_any(&["internal resource temporarily unavailable"])
            || (self.detail == Some((7, 1)) && self.contains_any(&RETRY_LATER) && !self.contains_any(&TOO_FAST))
            || (self.detail.is_none() && self.is_unnamed_greylisting())
    }

    /// Whether a reply at RCPT asks for a later attempt and names no failure of the server.
    fn is_unnamed_greylisting(&self) -> bool {
        self.phase == Phase::Rcpt
            && matches!(self.code, 450 | 451)
            && self.contains_any(&RETRY_LATER)
            && !self.contains_any(&TOO_FAST)
            && !self.contains_any(&TROUBLE)
            && !self.contains_any(&[BUSY])
            && !self.is_about_us()
    }

    fn is_about_rate(&self) -> bool {
        let digits = match self.detail {
            // In AUTH and STARTTLS, 4.7.0 means no more than "security".
            Some((7, 0)) => !matches!(self.phase, Phase::Auth | Phase::StartTls),
            // With 421 the server may be shutting down.
            Some((3, 2)) => self.code != 421,
            Some((7, 28 | 500..=699) | (3, 21)) => true,
            _ => false,
        };
        let words = self.contains_any(&TOO_FAST) || self.has_word("rate") || self.has_word("ratelimit");
        let for_recipient = self.is_subject(1, 2) || self.contains_any(&[BUSY]);
        self.code == 432 || digits || self.contains_any(&["throttl"]) || (words && !for_recipient)
    }

    fn is_about_this_connection(&self) -> bool {
        self.contains_any(&["message"]) && self.contains_any(&["connection", "session"]) && !self.has_word("rate")
    }

    fn is_limit_reached(&self) -> bool {
        matches!(self.detail, Some((4, 5) | (1, 90)))
            || (self.detail == Some((7, 1)) && self.contains_any(&["quota exceeded"]))
            || (!self.is_subject(1, 2) && self.contains_any(&LIMIT_REACHED))
    }

    /// Whether the limit is that of a transaction; a limit "per hour" is a rate.
    fn is_too_many_recipients(&self) -> bool {
        let is_limit = self.detail == Some((5, 3)) || self.contains_any(&["too many recipients"]);
        let is_rate = self.contains_any(&["hour", "minute", "day", "period"]);
        self.phase == Phase::Rcpt && matches!(self.code, 452 | 552) && is_limit && !is_rate
    }

    fn is_too_big(&self) -> bool {
        match self.detail {
            Some((3, 4) | (2, 3)) => true,
            // A bare 552 is about the size of the message, but at RCPT about the mailbox.
            None => self.code == 552 && self.phase != Phase::Rcpt && !self.contains_any(&UNKNOWN_RECIPIENT),
            Some(_) => false,
        }
    }

    /// Whether the server did not expect or know the command: the session failed, not the mail.
    fn is_out_of_step(&self) -> bool {
        matches!(self.phase, Phase::Mail | Phase::Rcpt | Phase::Data) && matches!(self.code, 500 | 502 | 503)
    }

    /// Whether sender, authentication or reputation is refused. Every permanent refusal at MAIL is,
    /// since the server knows only the sender then; neither another recipient nor a retry would
    /// change it.
    fn is_policy(&self) -> bool {
        self.phase == Phase::Mail || self.is_about_us()
    }

    /// Whether the reply is about our set-up: host name, IP address, sender or domain, relaying.
    fn is_about_us(&self) -> bool {
        // Sender address (5.1.7, 5.1.8); SPF, DKIM, DMARC, reverse DNS, null MX (5.7.20 to 5.7.27);
        // codes of Yahoo (5.7.9) and Outlook (5.7.5x, 5.7.6x, 5.7.5xx, 5.7.6xx, 5.2.252).
        let digits = matches!(
            self.detail,
            Some((1, 7 | 8) | (7, 9 | 20..=27 | 30 | 32 | 40 | 51 | 54 | 57 | 60 | 64 | 68 | 500..=699) | (2, 252))
        );
        digits
            || self.contains_any(&SENDER)
            || self.contains_any(&RELAY)
            || HELLO.iter().any(|word| self.has_word(word))
            || self.is_policy_in_words()
    }

    /// A link in the message may be on a block list too.
    fn is_policy_in_words(&self) -> bool {
        let is_link = self.phase == Phase::Dot && (self.has_word("url") || self.contains_any(&["uribl", "surbl"]));
        !self.is_subject(1, 2) && !is_link && self.contains_any(&POLICY)
    }

    /// Whether the recipient is refused, by code or text, or else by phase.
    fn is_about_the_recipient(&self) -> bool {
        self.is_subject(1, 2) || self.code == 556 || self.phase == Phase::Rcpt || self.contains_any(&UNKNOWN_RECIPIENT)
    }

    fn is_subject(&self, one: u16, other: u16) -> bool {
        self.detail.is_some_and(|(subject, _)| subject == one || subject == other)
    }

    fn contains_any(&self, words: &[&str]) -> bool {
        words.iter().any(|words| self.text.contains(words))
    }

    fn has_word(&self, word: &str) -> bool {
        self.text.split(|c: char| !c.is_alphanumeric()).any(|own| own == word)
    }
}

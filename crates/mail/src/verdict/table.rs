//! The one table from a server's reply to a verdict. Digits go before words: the enhanced code before the code, and
//! texts only where servers use one code for several things.

use postroom_smtp::{EnhancedCode, Phase};

use super::Verdict;

pub(super) fn judge(phase: Phase, code: u16, enhanced: Option<EnhancedCode>, text: &str) -> Verdict {
    let said = Said { phase, code, detail: enhanced.map(|e| (e.subject, e.detail)), text: &text.to_lowercase() };
    match code {
        200..400 => Verdict::Accepted,
        _ if before_mail(phase) => said.about_the_connection(),
        400..500 => said.for_now(),
        _ => said.for_good(),
    }
}

/// One reply, to be asked.
struct Said<'a> {
    phase: Phase,
    code: u16,
    detail: Option<(u16, u16)>,
    text: &'a str,
}

/// Nothing about any mail has been said yet.
fn before_mail(phase: Phase) -> bool {
    match phase {
        Phase::Connect | Phase::Tls | Phase::Greeting | Phase::Ehlo | Phase::StartTls | Phase::Auth => true,
        // RSET ends the mail before.
        Phase::Rset | Phase::Quit => true,
        Phase::Mail | Phase::Rcpt | Phase::Data | Phase::Body | Phase::Dot => false,
    }
}

impl Said<'_> {
    fn about_the_connection(&self) -> Verdict {
        if self.is_account() || (self.phase == Phase::Auth && self.code >= 500) {
            Verdict::Account
        } else if self.is_about_rate() {
            Verdict::Throttled
        } else {
            Verdict::NothingSent
        }
    }

    fn for_now(&self) -> Verdict {
        if self.is_too_many_recipients() {
            Verdict::Later
        } else if self.is_about_rate() {
            Verdict::Throttled
        // 421: closing. 4.4.2: the server had waited too long for us. Neither is about this mail.
        } else if self.code == 421 || self.detail == Some((4, 2)) {
            Verdict::NothingSent
        } else {
            Verdict::Later
        }
    }

    fn for_good(&self) -> Verdict {
        if self.is_account() {
            Verdict::Account
        // 552 for too many recipients is an old server's 452 (RFC 5321, 4.5.3.1.10).
        } else if self.code == 552 && self.is_too_many_recipients() {
            Verdict::Later
        } else if self.detail == Some((4, 5))
            || self.says(&["sending limit", "sending quota", "sending rate", "rate limit"])
        {
            Verdict::Throttled
        } else if self.is_too_big() {
            Verdict::TooBig
        } else if self.is_policy() {
            Verdict::PolicyRefused
        } else if self.is_about_the_recipient() {
            Verdict::RecipientRefused
        } else {
            Verdict::ContentRefused
        }
    }

    /// Our login or account. 530, 534, 535 and 538 say so in any phase.
    fn is_account(&self) -> bool {
        let about_account = ["sending paused", "account suspended", "account is suspended", "account disabled"];
        matches!(self.code, 530 | 534 | 535 | 538)
            || (self.code >= 500 && self.phase != Phase::Rcpt && !self.is_subject(1, 2) && self.says(&about_account))
    }

    fn is_about_rate(&self) -> bool {
        // Greylisting, whatever its digits, is about this mail.
        if self.says(&["greylist", "graylist", "grey-list", "gray-list"]) {
            return false;
        }
        let quota = ["quota exceeded", "limit exceeded", "throttl", "too many", "concurrent", "too fast", "slow down"];
        let for_recipient = self.is_subject(1, 2);
        self.code == 432
            || matches!(self.detail, Some((7, 0 | 28) | (3, 2 | 21)))
            || (!for_recipient && (self.says(&quota) || self.has_word("rate") || self.has_word("ratelimit")))
    }

    fn is_too_many_recipients(&self) -> bool {
        let said = self.detail == Some((5, 3)) || self.says(&["too many recipients"]);
        said && matches!(self.code, 452 | 552)
    }

    fn is_too_big(&self) -> bool {
        match self.detail {
            Some((3, 4) | (2, 3)) => true,
            // Bare 552 is the message's size, but at RCPT the mailbox's.
            None => self.code == 552 && self.phase != Phase::Rcpt,
            Some(_) => false,
        }
    }

    fn is_policy(&self) -> bool {
        // Sender's address (5.1.7, 5.1.8), SPF, DKIM, DMARC, reverse DNS, null MX (5.7.20–5.7.27), and the large
        // hosts' own (5.7.9 Yahoo, 5.7.515 Outlook).
        let digits = matches!(self.detail, Some((1, 7 | 8) | (7, 9 | 20..=27 | 30 | 32 | 40 | 515)));
        let words = [
            "dmarc",
            "dkim",
            "spf ",
            "unauthenticated",
            "blocked using",
            "spamhaus",
            "blocklist",
            "block list",
            "blacklist",
            "black list",
            "relay access denied",
            "relaying denied",
            "unable to relay",
            "not verified",
            "poor reputation",
        ];
        digits || self.phase == Phase::Mail || (!self.is_subject(1, 2) && self.says(&words))
    }

    /// By its digits, or else by where it was said.
    fn is_about_the_recipient(&self) -> bool {
        self.is_subject(1, 2) || self.code == 556 || self.phase == Phase::Rcpt
    }

    fn is_subject(&self, one: u16, other: u16) -> bool {
        self.detail.is_some_and(|(subject, _)| subject == one || subject == other)
    }

    fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|words| self.text.contains(words))
    }

    fn has_word(&self, word: &str) -> bool {
        self.text.split(|c: char| !c.is_alphanumeric()).any(|own| own == word)
    }
}

#[cfg(test)]
mod tests {
    use postroom_smtp::{
        EnhancedCode,
        Phase::{self, Auth, Data, Dot, Ehlo, Greeting, Mail, Rcpt, StartTls},
    };

    use super::super::Verdict::{
        self, Accepted, Account, ContentRefused, Later, NothingSent, PolicyRefused, RecipientRefused, Throttled, TooBig,
    };

    /// Replies as servers write them.
    const REPLIES: &[(Phase, &str, Verdict)] = &[
        (Dot, "250 2.0.0 Ok: queued as 4F1B2", Accepted),
        (Dot, "250 OK", Accepted),
        (Rcpt, "251 User not local; will forward", Accepted),
        // greylisting and other trouble with this mail
        (Rcpt, "451 4.7.1 Greylisting in action, please come back later", Later),
        (Rcpt, "450 4.2.0 <a@example.org>: Recipient address rejected: Greylisted", Later),
        (Rcpt, "450 4.7.0 Greylisted for 5 minutes", Later),
        (Rcpt, "451 Temporary local problem - please try later", Later),
        (Dot, "451 4.3.0 Error: queue file write error", Later),
        (Dot, "451", Later),
        (Rcpt, "452 4.2.2 The recipient's inbox is out of storage space; over quota exceeded", Later),
        (Dot, "452 4.3.1 Insufficient system storage", Later),
        (Rcpt, "452 4.5.3 Too many recipients", Later),
        (Rcpt, "552 Too many recipients", Later),
        (Data, "451 4.3.5 Server configuration problem, please separate your operation", Later),
        // too fast
        (Dot, "454 Throttling failure: Maximum sending rate exceeded.", Throttled),
        (Dot, "454 Throttling failure: Daily message quota exceeded.", Throttled),
        (Dot, "432 4.3.21 Mailbox server busy", Throttled),
        (Rcpt, "432 4.3.2 Concurrent connections limit exceeded", Throttled),
        (Rcpt, "450 4.7.0 Transmit rate limit exceeded", Throttled),
        (Mail, "450 Too many requests #MS-ST-G", Throttled),
        (Rcpt, "450 Too many recipient attempts", Throttled),
        (Dot, "421 4.7.28 Our system has detected an unusual rate of unsolicited mail", Throttled),
        (Dot, "421 4.7.0 Try again later, closing connection", Throttled),
        (Dot, "550 5.4.5 Daily user sending limit exceeded", Throttled),
        (Auth, "454 4.7.0 Too many login attempts", Throttled),
        // nothing sent
        (Greeting, "421 Service not available, closing transmission channel", NothingSent),
        (Greeting, "554 No SMTP service here", NothingSent),
        (Greeting, "521 Host does not accept mail", NothingSent),
        (Ehlo, "550 go away", NothingSent),
        (StartTls, "454 TLS not available due to temporary reason", NothingSent),
        (Auth, "451 Internal error", NothingSent),
        (Rcpt, "421 4.3.0 Shutting down", NothingSent),
        (Dot, "451 4.4.2 Timeout waiting for data from client", NothingSent),
        // our account
        (Auth, "535 5.7.8 Username and Password not accepted", Account),
        (Auth, "534 5.7.9 Please log in with your web browser", Account),
        (Auth, "504 Unrecognized authentication type", Account),
        (Mail, "530 5.7.0 Authentication Required", Account),
        (Mail, "535 Authentication failed", Account),
        (Dot, "554 Message rejected: Sending paused for this account", Account),
        // the recipient
        (Rcpt, "550 5.1.1 The email account that you tried to reach does not exist", RecipientRefused),
        (Dot, "550 5.1.1 No such user", RecipientRefused),
        (Rcpt, "550 5.2.1 The email account is disabled: account disabled", RecipientRefused),
        (Rcpt, "556 5.1.10 Domain has null MX", RecipientRefused),
        (Rcpt, "550 No such user here", RecipientRefused),
        (Rcpt, "552 5.2.2 Mailbox full", RecipientRefused),
        (Rcpt, "552 Exceeded storage allocation", RecipientRefused),
        (Rcpt, "550 5.7.1 This group takes mail of its members only", RecipientRefused),
        // the content
        (Dot, "550 5.7.1 Message contains spam or virus", ContentRefused),
        (Dot, "554 5.6.0 Message is malformed", ContentRefused),
        (
            Dot,
            "552 5.7.0 This message was blocked because its content presents a potential security issue",
            ContentRefused,
        ),
        (Dot, "554 Transaction failed", ContentRefused),
        (Dot, "550 refused", ContentRefused),
        // how we are set up
        (Dot, "550 5.7.26 Unauthenticated email from example.org is not accepted", PolicyRefused),
        (
            Dot,
            "550 5.7.515 Access denied, sending domain does not meet the required authentication level",
            PolicyRefused,
        ),
        (Dot, "553 5.7.9 Mail not accepted for policy reasons", PolicyRefused),
        (Dot, "550 5.7.1 Rejected by DMARC policy", PolicyRefused),
        (Rcpt, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", PolicyRefused),
        (Rcpt, "554 5.7.1 <a@example.org>: Relay access denied", PolicyRefused),
        (Mail, "553 5.7.1 Sender address rejected: not owned by user", PolicyRefused),
        (Mail, "550 5.1.8 Sender's domain does not resolve", PolicyRefused),
        (Dot, "554 Message rejected: Email address is not verified", PolicyRefused),
        // size
        (Mail, "552 5.3.4 Message size exceeds fixed maximum message size", TooBig),
        (Dot, "552 Message exceeds maximum size", TooBig),
        (Dot, "552 5.2.3 Message length exceeds administrative limit", TooBig),
    ];

    fn parse(line: &str) -> (u16, Option<EnhancedCode>, &str) {
        let (code, text) = line.split_once(' ').unwrap_or((line, ""));
        let mut digits = text.split(' ').next().unwrap_or_default().split('.').map_while(|part| part.parse().ok());
        let enhanced = match (digits.next(), digits.next(), digits.next()) {
            (Some(class), Some(subject), Some(detail)) => Some(EnhancedCode { class, subject, detail }),
            _ => None,
        };
        (code.parse().expect("a code"), enhanced, text)
    }

    #[test]
    fn real_replies() {
        for (phase, line, expected) in REPLIES {
            let (code, enhanced, text) = parse(line);
            assert_eq!(Verdict::from_reply(*phase, code, enhanced, text), *expected, "{phase}: {line}");
        }
    }

    #[test]
    fn only_bad_addresses_are_suppressed() {
        for (line, suppressed) in [
            ("550 5.1.1 No such user", true),
            ("550 5.1.10 Null MX", true),
            ("556 No mail for this domain", true),
            ("550 5.2.1 Disabled", true),
            ("550 Blocked", false),
            ("554 5.7.1 Not you", false),
            ("552 5.2.2 Full", false),
            ("550 5.1.8 Bad sender", false),
        ] {
            let (code, enhanced, text) = parse(line);
            let verdict = Verdict::from_reply(Rcpt, code, enhanced, text);
            assert_eq!(verdict.suppresses(code, enhanced), suppressed, "{line}");
        }
    }

    #[test]
    fn every_code_has_a_verdict_of_its_class() {
        let phases = [Mail, Rcpt, Data, Dot];
        for (phase, code) in phases.into_iter().flat_map(|phase| (200..600).map(move |code| (phase, code))) {
            let verdict = Verdict::from_reply(phase, code, None, "");
            assert_eq!(verdict == Accepted, code < 400, "{phase} {code}");
            assert_eq!(verdict.is_final(), code >= 500 && verdict != Account, "{phase} {code}: {verdict}");
        }
    }
}

//! Limits of one connection: what a server reports, and what is learned from it.
//!
//! A server may limit the mails or the refused commands of a connection. Such a refusal is not
//! about the sender: the next connection has limits of its own.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    error::{Phase, SmtpError},
    refusal::Refusal,
    send_report::{RcptReply, SendOutcome, SendReport},
};

/// Time after which a learned limit is forgotten, since the server may have changed.
const LEARNED_FOR: Duration = Duration::from_secs(3600);

/// Time for which a refused first mail shows that another connection does not help.
const FIRST_REFUSED_FOR: Duration = Duration::from_secs(60);

/// Words for a number that is exceeded.
const EXCEEDED: [&str; 6] = ["too many", "exceed", "reached", "maximum", "max ", "limit"];

/// Words for refused commands, as in Postfix, Exim, sendmail, chasquid, Exchange and Cisco.
const ERRORS: [&str; 12] = [
    "errors",
    "error limit",
    "error count",
    "bad command",
    "bad smtp command",
    "invalid command",
    "unrecognized command",
    "unrecognised command",
    "unknown command",
    "nonmail command",
    "junk command",
    "invalid recipient",
];

const MAILS: [&str; 4] = ["message", "mail", "transaction", "envelope"];

const CONNECTION: [&str; 2] = ["connection", "session"];

/// Words for the number of connections.
const CONNECTIONS: [&str; 4] = ["too many connections", "too many sessions", "connections from", "connection limit"];

/// Words for a rate, a reputation or greylisting. They concern the sender, whatever the connection.
const ABOUT_THE_SENDER: [&str; 18] = [
    "hour",
    "minute",
    "second",
    "day",
    "daily",
    "period",
    "quota",
    "throttl",
    "slow down",
    "too fast",
    "quickly",
    "volume",
    "complaint",
    "concurren",
    "greylist",
    "graylist",
    "grey-list",
    "gray-list",
];

/// Limit of a connection that a refusal reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionLimit {
    /// Number of mails.
    Mails,
    /// Number of refused commands.
    Errors,
    /// Not named: the server closes the connection (421).
    Unnamed,
}

impl SessionLimit {
    /// Limit that a refusal may be about.
    pub(crate) fn of(phase: Phase, refusal: &Refusal) -> Option<Self> {
        let is_of_mail = matches!(phase, Phase::Mail | Phase::Rcpt | Phase::Data | Phase::Body | Phase::Dot);
        if !is_of_mail && phase != Phase::Rset {
            return None;
        }
        let text = without_names(&refusal.message().to_lowercase());
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let has_rate = text.split(|c: char| !c.is_alphanumeric()).any(|word| word == "rate" || word == "ratelimit");
        if has_rate || has(&ABOUT_THE_SENDER) {
            return None;
        }
        let detail = refusal.enhanced.map(|enhanced| (enhanced.subject, enhanced.detail));
        // OpenSMTPD: "452 4.5.3 Too many messages sent". At MAIL no recipient is counted yet.
        let is_too_many = phase == Phase::Mail && (detail == Some((5, 3)) || text.contains("too many messages"));
        if has(&EXCEEDED) && has(&ERRORS) && (refusal.is_closing() || text.contains("too many") || has(&CONNECTION)) {
            Some(Self::Errors)
        } else if is_too_many || (has(&EXCEEDED) && has(&MAILS) && has(&CONNECTION) && !has(&CONNECTIONS)) {
            Some(Self::Mails)
        } else {
            refusal.is_closing().then_some(Self::Unnamed)
        }
    }
}

/// Text without host names and addresses, which may contain any word.
fn without_names(text: &str) -> String {
    let is_name = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).contains(['.', '@']);
    text.split_whitespace().filter(|word| !is_name(word)).collect::<Vec<_>>().join(" ")
}

/// Use of a connection up to and including its last mail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionUse {
    /// Mails begun.
    pub(crate) mails: u64,
    /// Refused commands.
    pub(crate) errors: u64,
    /// Mails refused since the last accepted one.
    pub(crate) refused_in_a_row: u64,
}

/// Limits of a connection, as learned from the refusals of a server.
#[derive(Debug, Default)]
pub(crate) struct LearnedLimits(Mutex<Learned>);

#[derive(Debug, Default)]
struct Learned {
    mails: Option<(u64, Instant)>,
    errors: Option<(u64, Instant)>,
    /// Time at which the first mail of a connection was refused in words about connections.
    first_refused: Option<Instant>,
}

impl LearnedLimits {
    /// Whether a connection has room for another mail.
    pub(crate) fn has_room(&self, usage: &SessionUse) -> bool {
        let learned = self.lock();
        let is_below = |used: u64, limit: Option<(u64, Instant)>| {
            limit.is_none_or(|(limit, at)| used < limit || at.elapsed() >= LEARNED_FOR)
        };
        is_below(usage.mails, learned.mails) && is_below(usage.errors, learned.errors)
    }

    /// Decides whether a result is about this connection only, and learns from it. `closing` is the
    /// reply with which the server ended the connection after it had refused all recipients.
    ///
    /// A first mail shows no limit of its connection, unless the server refused recipients of it
    /// before.
    pub(crate) fn judge(
        &self,
        result: Result<SendReport, SmtpError>,
        closing: Option<&Refusal>,
        usage: &SessionUse,
    ) -> Result<SendReport, SmtpError> {
        let is_first = usage.mails <= 1;
        let refusal = refusal_of(&result);
        if let Some(reply) = closing.filter(|closing| refusal.is_none_or(|(_, reply)| reply != *closing)) {
            if let Some(limit) = SessionLimit::of(Phase::Rcpt, reply) {
                self.learn(limit, usage);
            }
            return result;
        }
        let Some((phase, reply)) = refusal else {
            if is_first && matches!(&result, Ok(SendReport { outcome: SendOutcome::Accepted { .. }, .. })) {
                self.lock().first_refused = None;
            }
            return result;
        };
        let Some(limit) = SessionLimit::of(phase, reply) else { return result };
        let recipients = result.as_ref().map_or_else(|_| Vec::new(), refused_for_themselves);
        if is_first && recipients.is_empty() {
            self.lock().first_refused = Some(Instant::now());
            return result;
        }
        if limit == SessionLimit::Unnamed && self.was_first_refused() {
            return result;
        }
        self.learn(limit, usage);
        let outcome = SendOutcome::Spent { phase, reply: reply.clone() };
        Ok(SendReport { outcome, recipients })
    }

    fn was_first_refused(&self) -> bool {
        self.lock().first_refused.is_some_and(|at| at.elapsed() < FIRST_REFUSED_FOR)
    }

    /// Learns the use of the connection before its last command.
    fn learn(&self, limit: SessionLimit, usage: &SessionUse) {
        let mut learned = self.lock();
        let lower = |known: &mut Option<(u64, Instant)>, used: u64| {
            let known_limit = known.filter(|(_, at)| at.elapsed() < LEARNED_FOR).map_or(u64::MAX, |(limit, _)| limit);
            *known = Some((used.saturating_sub(1).clamp(1, known_limit), Instant::now()));
        };
        match limit {
            SessionLimit::Mails => lower(&mut learned.mails, usage.mails),
            SessionLimit::Errors => lower(&mut learned.errors, usage.errors),
            SessionLimit::Unnamed => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Learned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refusal of a mail as a whole, with its phase.
fn refusal_of(result: &Result<SendReport, SmtpError>) -> Option<(Phase, &Refusal)> {
    match result {
        Err(error) => Some((error.phase(), error.reply()?)),
        Ok(report) => match &report.outcome {
            SendOutcome::Refused { phase, reply } | SendOutcome::Spent { phase, reply } => Some((*phase, reply)),
            SendOutcome::AllRefused => report.refused().last().map(|(_, reply)| (Phase::Rcpt, reply)),
            SendOutcome::Accepted { .. } | SendOutcome::InDoubt { .. } => None,
        },
    }
}

/// Refused recipients without those whose refusal is about the connection.
fn refused_for_themselves(report: &SendReport) -> Vec<RcptReply> {
    let is_own =
        |own: &&RcptReply| own.reply.as_ref().is_err_and(|refusal| SessionLimit::of(Phase::Rcpt, refusal).is_none());
    report.recipients.iter().filter(is_own).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::{SessionLimit::*, *};
    use crate::reply_buffer::ReplyBuffer;

    fn refusal(line: &str) -> Refusal {
        let mut replies = ReplyBuffer::new();
        let bytes = format!("{line}\r\n");
        replies.unfilled()[..bytes.len()].copy_from_slice(bytes.as_bytes());
        replies.advance(bytes.len());
        Refusal::of(replies.next().expect("a reply").expect("complete")).expect("a refusal")
    }

    #[test]
    fn limits_of_a_connection_are_told_from_limits_of_the_sender() {
        for (phase, line, expected) in [
            (Phase::Rcpt, "421 4.7.0 mx.example Error: too many errors", Some(Errors)),
            (Phase::Data, "421 4.5.0 Too many errors, bye", Some(Errors)),
            (Phase::Rcpt, "421 4.7.0 mx.example Too many bad commands; closing connection", Some(Errors)),
            (Phase::Mail, "554 Too many nonmail commands", Some(Errors)),
            (Phase::Mail, "554 Too many syntax or protocol errors", Some(Errors)),
            (Phase::Rcpt, "421 Too many unrecognized commands", Some(Errors)),
            (Phase::Rcpt, "421 Exceeded bad SMTP command limit, disconnecting.", Some(Errors)),
            (Phase::Rcpt, "421 4.7.0 Too many errors on this connection, closing transmission channel", Some(Errors)),
            (Phase::Rcpt, "421 Too many invalid recipients", Some(Errors)),
            (Phase::Mail, "452 4.5.3 Too many messages sent", Some(Mails)),
            (Phase::Mail, "452 4.5.3 Too many recipients", Some(Mails)),
            (Phase::Mail, "421 too many messages in this connection", Some(Mails)),
            (Phase::Mail, "421 Max message per connection reached, closing transmission channel", Some(Mails)),
            (Phase::Mail, "421 4.7.0 Too many messages on this connection", Some(Mails)),
            (Phase::Mail, "450 Too many transactions in this session", Some(Mails)),
            (Phase::Mail, "550 Maximum number of mails per session exceeded", Some(Mails)),
            (Phase::Rcpt, "452 4.3.2 Too many emails in a session, reconnect", Some(Mails)),
            (Phase::Dot, "421 4.7.0 Try again later, closing connection", Some(Unnamed)),
            (Phase::Mail, "421 4.3.2 Shutting down", Some(Unnamed)),
            (Phase::Mail, "421", Some(Unnamed)),
            (Phase::Mail, "421 4.4.2 mail.example closing connection, maximum idle time exceeded", Some(Unnamed)),
            (Phase::Mail, "421 4.7.0 mail.example Error: too many connections", Some(Unnamed)),
            // Limits of a mail, a recipient or a sender.
            (Phase::Rcpt, "452 4.5.3 Too many recipients", None),
            (Phase::Rcpt, "452 4.5.3 Error: too many recipients", None),
            (Phase::Rcpt, "550 5.1.1 No such user", None),
            (Phase::Dot, "552 5.3.4 Message size exceeds the maximum", None),
            (Phase::Mail, "421 4.7.0 Transmit rate limit exceeded, closing", None),
            (Phase::Mail, "421 4.4.2 Message submission rate for this client has exceeded the configured limit", None),
            (Phase::Mail, "450 4.7.0 Transmit rate limit exceeded", None),
            (Phase::Mail, "451 4.7.1 Received too many messages in the last hour", None),
            (Phase::Rcpt, "452 Too many recipients received this hour", None),
            (Phase::Rcpt, "421 4.3.2 Graylisted, please come back later", None),
            (Phase::Rcpt, "421 4.1.0 192.0.2.1 Throttled - try again later.", None),
            (Phase::Dot, "421 4.7.28 unusual volume of mail", None),
            (Phase::Dot, "451 4.3.0 Error: queue file write error", None),
            (Phase::Rcpt, "451 4.3.5 Server configuration error", None),
            (Phase::Greeting, "421 too many errors from you", None),
            (Phase::Auth, "421 4.7.0 Too many errors", None),
        ] {
            assert_eq!(SessionLimit::of(phase, &refusal(line)), expected, "{phase}: {line}");
        }
    }

    #[test]
    fn a_learned_limit_only_falls() {
        let learned = LearnedLimits::default();
        let used = |mails, errors| SessionUse { mails, errors, refused_in_a_row: 0 };
        assert!(learned.has_room(&used(1_000, 1_000)));
        for (limit, mails, errors) in [(Mails, 31, 4), (Mails, 21, 9), (Mails, 40, 0), (Errors, 9, 21), (Unnamed, 2, 2)]
        {
            learned.learn(limit, &used(mails, errors));
        }
        for (mails, errors, room) in [(19, 19, true), (20, 0, false), (0, 20, false)] {
            assert_eq!(learned.has_room(&used(mails, errors)), room, "{mails} {errors}");
        }
    }
}

//! Result of one attempt to send one mail.

use postroom_core::EmailAddress;
use postroom_smtp::{Phase, Refusal, Reply};

use crate::{Blame, Hint, Verdict, verdict::NotAccepted};

/// Maximum length of a recorded reply, in characters. Longer replies are truncated, since they are
/// stored with the job.
const MAX_REPLY: usize = 500;

/// One attempt to send a mail, as recorded in the job's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Name of the transport.
    pub transport: String,
    /// Phase of the session in which the attempt ended, such as `rcpt` or `dot`.
    pub phase: Option<&'static str>,
    /// Reply code of the server.
    pub code: Option<u16>,
    /// Enhanced status code of the server, such as `5.1.1` (RFC 3463).
    pub enhanced: Option<String>,
    /// Reply of the server or description of the error, at most about 500 characters.
    pub reply: String,
    /// Verdict for the mail; `accepted` if no recipient is open and at least one was accepted.
    pub verdict: Verdict,
    /// Result for each recipient of this attempt.
    pub recipients: Vec<RecipientOutcome>,
    /// Identifier that the next server assigned to the mail, if it accepted the mail.
    pub receipt: Option<String>,
    /// Rate limits that the server reported.
    pub hint: Hint,
    /// Next step for a person, if the transport is at fault.
    pub advice: Option<&'static str>,
    /// Duration of the attempt, in milliseconds.
    pub ms: u64,
}

/// Result of an attempt for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientOutcome {
    /// Address of the recipient.
    pub address: EmailAddress,
    /// Verdict for this recipient.
    pub verdict: Verdict,
    /// Reply code of the server.
    pub code: Option<u16>,
    /// Enhanced status code of the server.
    pub enhanced: Option<String>,
    /// Reply of the server, at most about 500 characters.
    pub reply: String,
    /// Whether the address itself is invalid, so that it goes on the suppression list.
    pub suppress: bool,
    /// Subject of a refusal.
    pub blame: Blame,
}

impl Attempt {
    /// Attempt that was accepted for all recipients: the only source of [`Verdict::Accepted`].
    /// `receipt` is the identifier that the next server assigned to the mail.
    pub(crate) fn accepted(to: &[EmailAddress], reply: &str, receipt: Option<&str>) -> Self {
        Self { receipt: receipt.map(trimmed), ..Self::alike(to, Verdict::Accepted, reply) }
    }

    /// Attempt that was accepted for no recipient.
    pub(crate) fn not_accepted(to: &[EmailAddress], why: NotAccepted, reply: &str) -> Self {
        Self::alike(to, why.into(), reply)
    }

    fn alike(to: &[EmailAddress], verdict: Verdict, reply: &str) -> Self {
        let reply = trimmed(reply);
        let recipients = to.iter().map(|address| RecipientOutcome::new(address, verdict, reply.clone())).collect();
        Self {
            transport: String::new(),
            phase: None,
            code: None,
            enhanced: None,
            reply,
            verdict,
            recipients,
            receipt: None,
            hint: Hint::default(),
            advice: None,
            ms: 0,
        }
    }

    /// Attempt that failed before a transport was used: the mail could not be rendered or composed.
    #[must_use]
    pub fn invalid(to: &[EmailAddress], problem: &str) -> Self {
        Self::not_accepted(to, NotAccepted::Invalid, problem)
    }

    /// Attempt that a server refused for all recipients.
    pub(crate) fn refused(to: &[EmailAddress], phase: Phase, refusal: &Refusal) -> Self {
        let (why, blame) = NotAccepted::with_blame(phase, refusal);
        let mut attempt = Self::not_accepted(to, why, &refusal.to_string()).with_codes(refusal);
        attempt.recipients.iter_mut().for_each(|recipient| recipient.blame = blame);
        Self { phase: Some(phase.as_str()), ..attempt }
    }

    /// Attempt with an unknown result: the server may have accepted the mail.
    #[must_use]
    pub fn unknown(to: &[EmailAddress], why: &str) -> Self {
        Self::not_accepted(to, NotAccepted::Unknown, why)
    }

    /// Returns true if another transport may take over at once. This requires that nothing was sent
    /// to any recipient and that the transport was at fault, not the mail. If some recipients were
    /// accepted, the others wait for the next attempt.
    #[must_use]
    pub fn nothing_was_sent(&self) -> bool {
        let accepted = self.recipients.iter().any(|recipient| recipient.verdict == Verdict::Accepted);
        self.verdict.blames_transport() && !accepted
    }

    /// Sets the codes of the server's reply, for the mail and for each recipient. `suppress` is set
    /// only for a single recipient: with several, the reply does not name the address it refers to.
    pub(crate) fn with_codes(mut self, reply: &Reply) -> Self {
        let alone = self.recipients.len() == 1;
        self.code = Some(reply.code);
        self.enhanced = reply.enhanced.map(|enhanced| enhanced.to_string());
        for recipient in &mut self.recipients {
            recipient.code = self.code;
            recipient.enhanced.clone_from(&self.enhanced);
            recipient.suppress = alone && recipient.verdict.suppresses(reply);
        }
        self
    }
}

impl RecipientOutcome {
    /// Result for a recipient that the server refused at RCPT.
    pub(crate) fn refused(address: &EmailAddress, refusal: &Refusal) -> Self {
        let (verdict, blame) = NotAccepted::with_blame(Phase::Rcpt, refusal);
        let verdict = Verdict::from(verdict);
        Self {
            blame,
            code: Some(refusal.code),
            enhanced: refusal.enhanced.map(|enhanced| enhanced.to_string()),
            suppress: verdict.suppresses(refusal),
            ..Self::new(address, verdict, trimmed(&refusal.to_string()))
        }
    }

    /// Result for a recipient that the server can't reach.
    pub(crate) fn unreachable(address: &EmailAddress, why: &str) -> Self {
        Self::new(address, Verdict::Invalid, trimmed(why))
    }

    fn new(address: &EmailAddress, verdict: Verdict, reply: String) -> Self {
        Self {
            address: address.clone(),
            verdict,
            code: None,
            enhanced: None,
            reply,
            suppress: false,
            blame: Blame::Mail,
        }
    }
}

/// Returns the reply as one line of at most about 500 characters.
pub(crate) fn trimmed(reply: &str) -> String {
    let line = crate::rendered::one_line(reply);
    match line.char_indices().nth(MAX_REPLY) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

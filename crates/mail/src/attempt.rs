//! What came of one try to send one mail.

use postroom_core::EmailAddress;
use postroom_smtp::{Phase, Refusal, Reply};

use crate::{Hint, Verdict, verdict::NotAccepted};

/// Longer replies are cut: they are kept with the job.
const MAX_REPLY: usize = 500;

/// One try, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The transport's name.
    pub transport: String,
    /// Where in the conversation it ended, as in `rcpt` or `dot`.
    pub phase: Option<&'static str>,
    /// The server's code.
    pub code: Option<u16>,
    /// The server's enhanced code, as in `5.1.1`.
    pub enhanced: Option<String>,
    /// What the server said, or what went wrong; at most about 500 characters.
    pub reply: String,
    /// What it means for the mail: `accepted` once nobody is left to try and somebody was accepted.
    pub verdict: Verdict,
    /// What it means for each recipient that was tried.
    pub recipients: Vec<RecipientOutcome>,
    /// What the next server calls the mail, if it was accepted.
    pub receipt: Option<String>,
    /// What the server said of how much it takes.
    pub hint: Hint,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// What came of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientOutcome {
    /// Who.
    pub address: EmailAddress,
    /// What it means for this recipient.
    pub verdict: Verdict,
    /// The server's code.
    pub code: Option<u16>,
    /// The server's enhanced code.
    pub enhanced: Option<String>,
    /// What the server said; at most about 500 characters.
    pub reply: String,
    /// Whether the address itself is bad, so that nothing should be sent to it again.
    pub suppress: bool,
}

impl Attempt {
    /// A try that was accepted for all recipients: the only place where [`Verdict::Accepted`] comes from. `receipt` is what the
    /// next server calls the mail.
    pub(crate) fn accepted(to: &[EmailAddress], reply: &str, receipt: Option<&str>) -> Self {
        Self { receipt: receipt.map(trimmed), ..Self::alike(to, Verdict::Accepted, reply) }
    }

    /// A try that was not accepted for any recipient.
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
            ms: 0,
        }
    }

    /// A mail that never came as far as a transport: it could not be rendered or composed.
    #[must_use]
    pub fn invalid(to: &[EmailAddress], problem: &str) -> Self {
        Self::not_accepted(to, NotAccepted::Invalid, problem)
    }

    /// A try of which nobody knows whether the server took the mail.
    #[must_use]
    pub fn in_doubt(to: &[EmailAddress], why: &str) -> Self {
        Self::not_accepted(to, NotAccepted::Unknown, why)
    }

    /// Whether another transport may take over at once: nothing of the mail went to anybody, and that was not its own
    /// fault. When it went to some of its recipients, the others wait for the next try.
    #[must_use]
    pub fn nothing_was_sent(&self) -> bool {
        let accepted = self.recipients.iter().any(|recipient| recipient.verdict == Verdict::Accepted);
        self.verdict.blames_transport() && !accepted
    }

    /// The same with the codes of the server's reply, also for each recipient. Of several recipients it can't be told
    /// whose address the reply is about.
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
    /// A recipient that a server refused at RCPT.
    pub(crate) fn refused(address: &EmailAddress, refusal: &Refusal) -> Self {
        let verdict = Verdict::from(NotAccepted::of_refusal(Phase::Rcpt, refusal));
        Self {
            code: Some(refusal.code),
            enhanced: refusal.enhanced.map(|enhanced| enhanced.to_string()),
            suppress: verdict.suppresses(refusal),
            ..Self::new(address, verdict, trimmed(&refusal.to_string()))
        }
    }

    fn new(address: &EmailAddress, verdict: Verdict, reply: String) -> Self {
        Self { address: address.clone(), verdict, code: None, enhanced: None, reply, suppress: false }
    }
}

/// One line of at most about 500 characters.
pub(crate) fn trimmed(reply: &str) -> String {
    let line = crate::rendered::one_line(reply);
    match line.char_indices().nth(MAX_REPLY) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

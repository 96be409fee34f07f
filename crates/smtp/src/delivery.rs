//! What came of one mail.

use crate::{
    acceptance::Acceptance,
    address::Address,
    error::{Phase, SmtpError},
    refusal::Refusal,
    reply::Reply,
};

/// The server's judgement of a mail.
#[derive(Debug)]
#[must_use]
pub struct Delivery {
    /// What came of the mail as a whole.
    pub outcome: Outcome,
    /// The reply to each RCPT, in the envelope's order; none if the mail was refused before, at MAIL.
    pub recipients: Vec<RecipientResult>,
}

/// What the server said of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientResult {
    /// Who.
    pub address: Address,
    /// The reply to RCPT: 2yz, or a refusal.
    pub reply: Result<Reply, Refusal>,
}

/// What came of a mail as a whole.
#[derive(Debug)]
pub enum Outcome {
    /// Accepted by the server for every recipient that it accepted.
    Accepted {
        /// The reply to the final dot: the receipt.
        reply: Acceptance,
    },
    /// Every recipient was refused, and nothing was sent.
    AllRefused,
    /// Refused for all recipients.
    Refused {
        /// [`Phase::Mail`], [`Phase::Data`] or [`Phase::Dot`].
        phase: Phase,
        /// The server's words.
        reply: Refusal,
    },
    /// The message and its final dot had left when the connection failed: it may or may not have been accepted, for
    /// every recipient that was.
    InDoubt {
        /// What happened instead of a reply.
        error: SmtpError,
    },
}

impl Delivery {
    /// The recipients that the server took at RCPT.
    pub fn accepted(&self) -> impl Iterator<Item = &Address> {
        self.recipients.iter().filter(|result| result.is_accepted()).map(|result| &result.address)
    }

    /// The recipients that the server refused at RCPT, each with its words.
    pub fn refused(&self) -> impl Iterator<Item = (&Address, &Refusal)> {
        self.recipients.iter().filter_map(|result| Some((&result.address, result.reply.as_ref().err()?)))
    }
}

impl RecipientResult {
    /// Whether the server took the recipient; what comes of the mail is in [`Outcome`].
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.reply.is_ok()
    }
}

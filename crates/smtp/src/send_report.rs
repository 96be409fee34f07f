//! Result of sending one mail.

use crate::{
    acceptance::Acceptance,
    address::Address,
    error::{Phase, SmtpError},
    refusal::Refusal,
    reply::Reply,
};

/// Result of sending one mail.
#[derive(Debug)]
#[must_use]
pub struct SendReport {
    /// Outcome of the mail as a whole.
    pub outcome: SendOutcome,
    /// Reply to each RCPT, in the order of the envelope. Empty if the mail was refused at MAIL.
    pub recipients: Vec<RcptReply>,
}

/// Reply for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcptReply {
    /// Address of the recipient.
    pub address: Address,
    /// Reply to RCPT: 2yz, or a refusal.
    pub reply: Result<Reply, Refusal>,
}

/// Outcome of a mail as a whole.
#[derive(Debug)]
pub enum SendOutcome {
    /// Accepted for every recipient that was accepted at RCPT.
    Accepted {
        /// Reply to the final dot.
        reply: Acceptance,
    },
    /// Every recipient was refused, and nothing was sent.
    AllRefused,
    /// Refused for all recipients.
    Refused {
        /// [`Phase::Mail`], [`Phase::Data`] or [`Phase::Dot`].
        phase: Phase,
        /// Reply of the server.
        reply: Refusal,
    },
    /// Refused because this connection has reached a limit of the server, such as a number of mails
    /// or of errors. Nothing was sent. Another connection has its own limits.
    ///
    /// Only a pool reports this outcome, because it knows how other connections fare.
    Spent {
        /// Phase of the refusal.
        phase: Phase,
        /// Reply of the server.
        reply: Refusal,
    },
    /// The final dot may have been sent, and no valid reply arrived. The server may or may not have
    /// accepted the mail.
    InDoubt {
        /// Error that occurred instead of a reply.
        error: SmtpError,
    },
}

impl SendReport {
    /// Recipients that the server accepted at RCPT.
    pub fn accepted(&self) -> impl Iterator<Item = &Address> {
        self.recipients.iter().filter(|result| result.is_accepted()).map(|result| &result.address)
    }

    /// Whether the connection has reached a limit of the server.
    pub(crate) fn is_spent(&self) -> bool {
        matches!(self.outcome, SendOutcome::Spent { .. })
    }

    /// Whether the mail was refused for every recipient.
    pub(crate) fn is_refused(&self) -> bool {
        match self.outcome {
            SendOutcome::AllRefused | SendOutcome::Refused { .. } => true,
            SendOutcome::Accepted { .. } | SendOutcome::Spent { .. } | SendOutcome::InDoubt { .. } => false,
        }
    }

    /// Recipients that the server refused at RCPT, each with its reply.
    pub fn refused(&self) -> impl Iterator<Item = (&Address, &Refusal)> {
        self.recipients.iter().filter_map(|result| Some((&result.address, result.reply.as_ref().err()?)))
    }
}

impl RcptReply {
    /// Whether the server accepted the recipient at RCPT. Whether it accepted the mail is in
    /// [`SendOutcome`].
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.reply.is_ok()
    }
}

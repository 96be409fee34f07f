//! Transport that stores mail for inspection instead of sending it.

use std::{fmt::Debug, pin::Pin};

use postroom_core::{EmailAddress, EnvelopeSender};
use postroom_smtp::Commit;

use super::aborted;
use crate::{Attempt, Message, verdict::NotAccepted};

/// Captured mail: envelope and bytes as they would have been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedMessage {
    /// The Message-ID, without angle brackets.
    pub message_id: String,
    /// Decoded subject.
    pub subject: String,
    /// Sender of the envelope; `None` for `<>`.
    pub mail_from: Option<EmailAddress>,
    /// Recipients of the envelope.
    pub rcpt_to: Vec<EmailAddress>,
    /// Headers and body.
    pub bytes: Vec<u8>,
}

/// Result of storing a captured mail: the id under which it is stored, or a description of the
/// error.
pub type CaptureFuture<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

/// Storage for captured mail, provided by the caller.
///
/// Storing the same mail twice must be harmless: after an error the mail counts as not stored and
/// is sent again.
pub trait CaptureSink: Debug + Send + Sync {
    /// Stores a mail.
    fn store(&self, mail: CapturedMessage) -> CaptureFuture<'_>;
}

pub(super) async fn send(
    sink: &dyn CaptureSink,
    message: &Message,
    sender: &EnvelopeSender,
    to: &[EmailAddress],
    commit: impl Future<Output = Commit>,
) -> Attempt {
    if commit.await == Commit::Abort {
        return aborted(to);
    }
    let captured = CapturedMessage {
        message_id: message.message_id.clone(),
        subject: message.rendered.subject.clone(),
        mail_from: sender.address().cloned(),
        rcpt_to: to.to_vec(),
        bytes: message.bytes.clone(),
    };
    match sink.store(captured).await {
        Ok(id) => Attempt::accepted(to, "captured", Some(&id)),
        Err(problem) => Attempt::not_accepted(to, NotAccepted::NothingSent, &format!("can't be captured: {problem}")),
    }
}

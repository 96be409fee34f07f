//! Mail that is kept to be looked at.

use std::{fmt::Debug, pin::Pin};

use postroom_core::EmailAddress;
use postroom_smtp::Commit;

use super::aborted;
use crate::{Attempt, Message, verdict::NotAccepted};

/// A captured mail, as it would have gone out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// The Message-ID, without angle brackets.
    pub message_id: String,
    /// The subject, as a person reads it.
    pub subject: String,
    /// The sender in the envelope.
    pub mail_from: EmailAddress,
    /// The recipients in the envelope.
    pub rcpt_to: Vec<EmailAddress>,
    /// The message.
    pub bytes: Vec<u8>,
}

/// What a [`CaptureSink`] says, later: the id it keeps the mail under, or why it can't.
pub type Kept<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

/// Where captured mail goes; the caller's, since nothing here knows a store.
///
/// Handing the same mail over again must do no harm, because an error is taken as "not kept" and the mail is tried again.
pub trait CaptureSink: Debug + Send + Sync {
    /// Keeps a mail.
    fn keep(&self, mail: Captured) -> Kept<'_>;
}

pub(super) async fn send(
    sink: &dyn CaptureSink,
    message: &Message,
    to: &[EmailAddress],
    commit: impl Future<Output = Commit>,
) -> Attempt {
    if commit.await == Commit::Abort {
        return aborted(to);
    }
    let captured = Captured {
        message_id: message.message_id.clone(),
        subject: message.words.subject.clone(),
        mail_from: message.envelope.mail_from.clone(),
        rcpt_to: to.to_vec(),
        bytes: message.bytes.clone(),
    };
    match sink.keep(captured).await {
        Ok(id) => Attempt::accepted(to, "captured", Some(&id)),
        Err(problem) => Attempt::not_accepted(to, NotAccepted::NothingSent, &format!("can't be captured: {problem}")),
    }
}

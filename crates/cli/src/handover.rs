//! Warnings at the hand-over of mail: what its workers and transports lack.

use std::time::Duration;

use postroom_core::{Mail, QueueName, store::ProcessInfo};

use crate::context::Context;

/// Maximum time of the look at the workers.
const WARNING_LIMIT: Duration = Duration::from_millis(300);

/// Settings that the enqueued mails require of a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MailNeeds {
    /// Whether a mail names no sender.
    sender: bool,
    /// Whether a mail names an envelope sender.
    envelope: bool,
}

impl MailNeeds {
    /// Returns the requirements of these mails, each completed from the content that they share.
    pub(crate) fn of<'a>(shared: &Mail, mails: impl IntoIterator<Item = &'a Mail>) -> Self {
        let mut all = Self::default();
        for mail in mails {
            all.sender |= mail.from.is_none() && shared.from.is_none();
            all.envelope |= mail.envelope_from.is_some() || shared.envelope_from.is_some();
        }
        all
    }

    /// Warns if a transport of the queue has no envelope, as far as the settings here tell.
    pub(crate) fn warn_about_envelope(self, context: &Context, queue: &QueueName) {
        let transports = context.postroom.settings().transports_of(queue).unwrap_or_default();
        let lacking = transports.iter().find(|(_, transport)| transport.has_no_envelope());
        if let Some((name, _)) = lacking.filter(|_| self.envelope) {
            context.console.warn(format_args!(
                "transport {name} of queue {queue} has no envelope: envelope_from has no effect there"
            ));
        }
    }

    /// Warns if no worker will send the mail.
    fn warn_about_workers(self, context: &Context, queue: &QueueName, workers: &[ProcessInfo]) {
        if workers.is_empty() {
            context
                .console
                .warn(format_args!("no worker serves the queue {queue}: mail waits there until one is started"));
        } else if self.sender && workers.iter().all(|worker| worker.lacks_sender) {
            context.console.warn(format_args!(
                "no worker of the queue {queue} has SMTP_MAIL_FROM: mail without a sender waits until one has"
            ));
        }
    }
}

/// Enqueues mail and warns about what it needs and lacks. The look at the workers runs at the same
/// time and is dropped when Redis is slow, so it neither delays nor fails the mail.
pub(crate) async fn with_warnings<T, F>(
    context: &Context,
    queue: &QueueName,
    needs: MailNeeds,
    enqueue: F,
) -> postroom_enqueue::Result<T>
where
    F: IntoFuture<Output = postroom_enqueue::Result<T>>,
{
    let workers = tokio::time::timeout(WARNING_LIMIT, context.postroom.workers_of(queue));
    let (enqueued, workers) = tokio::join!(enqueue.into_future(), workers);
    if enqueued.is_ok() {
        if let Ok(Ok(workers)) = workers {
            needs.warn_about_workers(context, queue, &workers);
        }
        needs.warn_about_envelope(context, queue);
    }
    enqueued
}

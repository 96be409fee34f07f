//! Sink of the `capture` transport: stores captured mail, for the monitor to show.

use postroom_core::{Store, store::CapturedMail};
use postroom_mail::{CaptureFuture, CaptureSink, CapturedMessage};

/// Stores captured mail.
#[derive(Debug)]
pub(crate) struct StoreSink(pub(crate) Store);

impl CaptureSink for StoreSink {
    fn store(&self, mail: CapturedMessage) -> CaptureFuture<'_> {
        Box::pin(async move {
            let kept = CapturedMail {
                mail_from: Some(mail.mail_from),
                rcpt_to: mail.rcpt_to,
                subject: mail.subject,
                message: mail.bytes,
            };
            self.0.capture(&kept).await.map_err(|error| error.to_string())
        })
    }
}

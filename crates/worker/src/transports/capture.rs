//! Sink of the `capture` transport: stores captured mail, for the monitor to show.

use postroom_core::{Store, store::CapturedMail};
use postroom_mail::{CaptureSink, Captured, Kept};

/// Stores captured mail.
#[derive(Debug)]
pub(crate) struct StoreSink(pub(crate) Store);

impl CaptureSink for StoreSink {
    fn keep(&self, mail: Captured) -> Kept<'_> {
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

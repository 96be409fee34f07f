//! Where the `capture` transport keeps mail that is sent in the foreground: in the job store.

use postroom_core::{Result, store::CapturedMail};
use postroom_mail::{CaptureFuture, CaptureSink, CapturedMessage};

use crate::link::Link;

/// Keeps captured mail in the job store.
#[derive(Debug)]
pub(crate) struct StoreSink(pub(crate) Link);

impl StoreSink {
    async fn capture(&self, mail: CapturedMessage) -> Result<String> {
        let kept = CapturedMail {
            mail_from: Some(mail.mail_from),
            rcpt_to: mail.rcpt_to,
            subject: mail.subject,
            message: mail.bytes,
        };
        self.0.store().await?.capture(&kept).await
    }
}

impl CaptureSink for StoreSink {
    fn store(&self, mail: CapturedMessage) -> CaptureFuture<'_> {
        Box::pin(async move { self.capture(mail).await.map_err(|error| error.to_string()) })
    }
}

//! Storage of captured mail in the job store.

use postroom_core::{
    Store,
    store::{CapturedMail, LazyStore},
};

use super::capture::{CaptureFuture, CaptureSink, CapturedMessage};

impl CaptureSink for Store {
    fn store(&self, mail: CapturedMessage) -> CaptureFuture<'_> {
        Box::pin(async move { self.capture(&stored_form(mail)).await.map_err(|error| error.to_string()) })
    }
}

impl CaptureSink for LazyStore {
    fn store(&self, mail: CapturedMessage) -> CaptureFuture<'_> {
        Box::pin(async move { self.connect().await.map_err(|error| error.to_string())?.store(mail).await })
    }
}

fn stored_form(mail: CapturedMessage) -> CapturedMail {
    CapturedMail { mail_from: mail.mail_from, rcpt_to: mail.rcpt_to, subject: mail.subject, message: mail.bytes }
}

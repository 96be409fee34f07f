//! Mail transports: a closed enum with one contract and one conformance suite.

mod capture;
mod file;
mod login;
mod resend;
mod smtp;
mod store_sink;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use postroom_core::{EmailAddress, EnvelopePattern, settings::TransportSettings};
use postroom_smtp::Commit;
use tokio::sync::Notify;

pub use self::{
    capture::{CaptureFuture, CaptureSink, CapturedMessage},
    file::FileTransport,
    login::{LoginError, login_check},
    resend::ResendTransport,
    smtp::{BadTransport, SmtpTransport},
};
use crate::{Attempt, Message, verdict::NotAccepted};

/// Transport of mail, with the name under which its attempts are recorded.
///
/// All kinds share one contract. [`Transport::send`] awaits the caller's commit future right before
/// the step that can't be undone. It sends nothing if that returns `Abort`. It sends to exactly the
/// given recipients. It sends the bytes of the message, or the content that they were composed
/// from.
#[derive(Debug)]
pub struct Transport {
    name: String,
    envelope_from: Option<EnvelopePattern>,
    kind: TransportKind,
}

#[derive(Debug)]
enum TransportKind {
    Smtp(SmtpTransport),
    Resend(ResendTransport),
    File(FileTransport),
    Capture(Arc<dyn CaptureSink>),
    Discard,
}

impl Transport {
    /// Creates the transport that the settings describe. Captured mail is stored in `sink`.
    ///
    /// # Errors
    ///
    /// Returns an error if the settings are invalid.
    pub fn from_settings(
        name: impl Into<String>,
        settings: &TransportSettings,
        sink: Arc<dyn CaptureSink>,
    ) -> Result<Self, BadTransport> {
        let kind = match settings {
            TransportSettings::Smtp(smtp) => TransportKind::Smtp(SmtpTransport::from_settings(smtp)?),
            TransportSettings::Resend(resend) => TransportKind::Resend(ResendTransport::from_settings(resend)?),
            TransportSettings::File(folder) => TransportKind::File(FileTransport::new(folder)),
            TransportSettings::Capture => TransportKind::Capture(sink),
            TransportSettings::Discard => TransportKind::Discard,
        };
        Ok(Self { name: name.into(), envelope_from: None, kind })
    }

    /// Sets the envelope sender of mails that name none.
    #[must_use]
    pub fn with_envelope_from(self, pattern: Option<EnvelopePattern>) -> Self {
        Self { envelope_from: pattern, ..self }
    }

    /// Whether the provider sets the envelope itself.
    #[must_use]
    pub fn has_no_envelope(&self) -> bool {
        matches!(self.kind, TransportKind::Resend(_))
    }

    /// Name in settings and records.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a message to those of its recipients that are in `only_to`. Failures are not errors:
    /// they are part of the [`Attempt`].
    ///
    /// If the future is dropped after `commit` has completed, the result of the mail is unknown.
    pub async fn send(
        &self,
        message: &Message,
        only_to: &[EmailAddress],
        commit: impl Future<Output = Commit>,
    ) -> Attempt {
        let start = Instant::now();
        let to: Vec<_> = message.envelope.rcpt_to.iter().filter(|address| only_to.contains(address)).cloned().collect();
        let sender = match message.envelope_sender(self.envelope_from.as_ref()) {
            Ok(sender) => sender,
            Err(error) => return Attempt::invalid(&to, &error.to_string()),
        };
        let attempt = match &self.kind {
            _ if to.is_empty() => Attempt::invalid(only_to, "none of the open recipients is in the message's envelope"),
            TransportKind::Smtp(smtp) => smtp.send(message, &sender, &to, commit).await,
            TransportKind::Resend(resend) => Box::pin(resend.send(message, &to, commit)).await,
            TransportKind::File(file) => file.send(message, &to, commit).await,
            TransportKind::Capture(sink) => capture::send(sink.as_ref(), message, &sender, &to, commit).await,
            TransportKind::Discard => discard(&to, commit).await,
        };
        Attempt { transport: self.name.clone(), ms: milliseconds(start.elapsed()), ..attempt }
    }

    /// Opens a connection for the next mail if the transport uses connections and none is idle.
    ///
    /// # Errors
    ///
    /// Returns the failed attempt of that mail if no connection can be opened.
    pub async fn warm(&self, to: &[EmailAddress]) -> Result<(), Box<Attempt>> {
        let smtp = match &self.kind {
            TransportKind::Smtp(smtp) => smtp,
            TransportKind::Resend(resend) => {
                resend.warm().await;
                return Ok(());
            }
            TransportKind::File(_) | TransportKind::Capture(_) | TransportKind::Discard => return Ok(()),
        };
        let start = Instant::now();
        let refused = |attempt| Attempt { transport: self.name.clone(), ms: milliseconds(start.elapsed()), ..attempt };
        smtp.warm(to).await.map_err(|attempt| Box::new(refused(attempt)))
    }

    /// Whether the transport uses connections that its server limits.
    #[must_use]
    pub fn has_connections(&self) -> bool {
        matches!(self.kind, TransportKind::Smtp(_))
    }

    /// Number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        if let TransportKind::Smtp(smtp) = &self.kind { smtp.pool().open_connections() } else { 0 }
    }

    /// Notified whenever the number of open connections changes; `None` without connections.
    #[must_use]
    pub fn connections_change(&self) -> Option<Arc<Notify>> {
        if let TransportKind::Smtp(smtp) = &self.kind { Some(smtp.pool().changes()) } else { None }
    }

    /// Returns once whether the server refused a further connection while it served others. Check
    /// it when the number of connections changes.
    #[must_use]
    pub fn take_refusal(&self) -> bool {
        if let TransportKind::Smtp(smtp) = &self.kind { smtp.pool().take_refusal() } else { false }
    }

    /// Sets the maximum number of connections. Surplus connections are closed as soon as they are
    /// idle.
    pub fn allow_connections(&self, number: usize) {
        if let TransportKind::Smtp(smtp) = &self.kind {
            smtp.pool().set_max_connections(number);
            smtp.pool().shrink();
        }
    }

    /// Closes connections that exceeded their idle time or age. Call this regularly while little
    /// mail is sent.
    pub fn retire_old(&self) {
        match &self.kind {
            TransportKind::Smtp(smtp) => smtp.pool().close_expired(),
            TransportKind::Resend(resend) => resend.retire_old(),
            TransportKind::File(_) | TransportKind::Capture(_) | TransportKind::Discard => {}
        }
    }

    /// Closes idle connections (SMTP: with QUIT), before the process ends.
    pub async fn close(&self) {
        match &self.kind {
            TransportKind::Smtp(smtp) => smtp.pool().close().await,
            TransportKind::Resend(resend) => resend.close(),
            TransportKind::File(_) | TransportKind::Capture(_) | TransportKind::Discard => {}
        }
    }
}

async fn discard(to: &[EmailAddress], commit: impl Future<Output = Commit>) -> Attempt {
    match commit.await {
        Commit::Proceed => Attempt::accepted(to, "discarded", None),
        Commit::Abort => aborted(to),
    }
}

fn aborted(to: &[EmailAddress]) -> Attempt {
    Attempt::not_accepted(to, NotAccepted::Aborted, "aborted before anything was sent")
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

//! The ways mail leaves: a closed enum, one contract, one conformance suite.

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

use postroom_core::{EmailAddress, settings::TransportSettings};
use postroom_smtp::Commit;
use tokio::sync::Notify;

pub use self::{
    capture::{CaptureSink, Captured, Kept},
    file::FileTransport,
    login::{LoginError, login_check},
    resend::ResendTransport,
    smtp::{BadTransport, SmtpTransport},
};
use crate::{Attempt, Message, verdict::NotAccepted};

/// A way for mail to leave, and the name it is recorded by.
///
/// Whichever it is, [`Transport::send`] awaits the caller's commit future right before what can't be taken back, sends
/// nothing when told to abort, sends to the recipients it was given and no others, and sends a message's bytes as they are, or
/// what they were made from.
#[derive(Debug)]
pub struct Transport {
    name: String,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Smtp(SmtpTransport),
    Resend(ResendTransport),
    File(FileTransport),
    Capture(Arc<dyn CaptureSink>),
    Discard,
}

impl Transport {
    /// The transport that settings describe. Captured mail goes to `sink`.
    pub fn from_settings(
        name: impl Into<String>,
        settings: &TransportSettings,
        sink: Arc<dyn CaptureSink>,
    ) -> Result<Self, BadTransport> {
        let way = match settings {
            TransportSettings::Smtp(smtp) => Way::Smtp(SmtpTransport::from_settings(smtp)?),
            TransportSettings::Resend(resend) => Way::Resend(ResendTransport::from_settings(resend)?),
            TransportSettings::File(folder) => Way::File(FileTransport::new(folder)),
            TransportSettings::Capture => Way::Capture(sink),
            TransportSettings::Discard => Way::Discard,
        };
        Ok(Self { name: name.into(), way })
    }

    /// Its name in settings and records.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a message to those of its recipients that are in `only_to`. What came of it is never an error: it is an
    /// [`Attempt`].
    ///
    /// Dropped before its end, the mail is in doubt if `commit` had ended.
    pub async fn send(
        &self,
        message: &Message,
        only_to: &[EmailAddress],
        commit: impl Future<Output = Commit>,
    ) -> Attempt {
        let start = Instant::now();
        let to: Vec<_> = message.envelope.rcpt_to.iter().filter(|address| only_to.contains(address)).cloned().collect();
        let attempt = match &self.way {
            _ if to.is_empty() => {
                Attempt::invalid(only_to, "none of the recipients asked for is in the message's envelope")
            }
            Way::Smtp(smtp) => smtp.send(message, &to, commit).await,
            Way::Resend(resend) => Box::pin(resend.send(message, &to, commit)).await,
            Way::File(file) => file.send(message, &to, commit).await,
            Way::Capture(sink) => capture::send(sink.as_ref(), message, &to, commit).await,
            Way::Discard => discard(&to, commit).await,
        };
        Attempt { transport: self.name.clone(), ms: milliseconds(start.elapsed()), ..attempt }
    }

    /// Makes sure that a connection is there for the next mail, where there are connections. What stands against it is that
    /// mail's attempt.
    pub async fn warm(&self, to: &[EmailAddress]) -> Result<(), Box<Attempt>> {
        let smtp = match &self.way {
            Way::Smtp(smtp) => smtp,
            Way::Resend(resend) => {
                resend.warm().await;
                return Ok(());
            }
            Way::File(_) | Way::Capture(_) | Way::Discard => return Ok(()),
        };
        let start = Instant::now();
        let refused = |attempt| Attempt { transport: self.name.clone(), ms: milliseconds(start.elapsed()), ..attempt };
        smtp.warm(to).await.map_err(|attempt| Box::new(refused(attempt)))
    }

    /// Whether mail leaves by it over connections, which its server counts.
    #[must_use]
    pub fn has_connections(&self) -> bool {
        matches!(self.way, Way::Smtp(_))
    }

    /// How many connections stand.
    #[must_use]
    pub fn connections(&self) -> usize {
        if let Way::Smtp(smtp) = &self.way { smtp.pool().standing() } else { 0 }
    }

    /// Rung whenever another number of connections stands; `None` where there are none.
    #[must_use]
    pub fn connections_change(&self) -> Option<Arc<Notify>> {
        if let Way::Smtp(smtp) = &self.way { Some(smtp.pool().changes()) } else { None }
    }

    /// So many connections at the same time from now on; those beyond end as soon as they are idle.
    pub fn allow_connections(&self, number: usize) {
        if let Way::Smtp(smtp) = &self.way {
            smtp.pool().allow(number);
            smtp.pool().shrink();
        }
    }

    /// Connections that have waited or lived too long are closed; call it now and then when there is little to send.
    pub fn retire_old(&self) {
        match &self.way {
            Way::Smtp(smtp) => smtp.pool().retire_old(),
            Way::Resend(resend) => resend.retire_old(),
            Way::File(_) | Way::Capture(_) | Way::Discard => {}
        }
    }

    /// Says goodbye on idle connections, before a process ends.
    pub async fn close(&self) {
        match &self.way {
            Way::Smtp(smtp) => smtp.pool().close().await,
            Way::Resend(resend) => resend.close(),
            Way::File(_) | Way::Capture(_) | Way::Discard => {}
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
    Attempt::not_accepted(to, NotAccepted::Aborted, "given up before anything was sent")
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

//! Test fixture: a transport and a fake of its destination.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use postroom_core::{
    EmailAddress,
    settings::{ResendSettings, Security, SmtpSettings, TransportSettings},
};
use postroom_mail::{
    Attempt, CaptureFuture, CaptureSink, CapturedMessage, Commit, Message, Rendered, Transport, Verdict, compose,
};
use postroom_testkit::{FakeResend, FakeSmtp};
use serde_json::json;
use tempfile::TempDir;

use crate::{identity, mail};

pub(crate) const ALL: [&str; 3] = ["a@example.net", "b@example.net", "hidden@example.net"];

/// Recipients and bytes of a message, each `None` where the destination does not store it.
pub(crate) type ReceivedMail = (Option<Vec<String>>, Option<Vec<u8>>);

/// Transport and its destination.
pub(crate) struct Fixture {
    pub(crate) transport: Transport,
    pub(crate) destination: Destination,
}

pub(crate) enum Destination {
    Server(FakeSmtp),
    Provider(FakeResend),
    Folder(TempDir),
    Sink(Arc<MemorySink>),
    Nothing,
}

#[derive(Debug, Default)]
pub(crate) struct MemorySink {
    pub(crate) stored: Mutex<Vec<CapturedMessage>>,
    pub(crate) fails: bool,
}

impl CaptureSink for MemorySink {
    fn store(&self, mail: CapturedMessage) -> CaptureFuture<'_> {
        Box::pin(async move {
            if self.fails {
                return Err("the store is full".into());
            }
            self.stored.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
            Ok("captured-1".into())
        })
    }
}

impl Fixture {
    pub(crate) fn new(settings: &TransportSettings, sink: &Arc<MemorySink>, destination: Destination) -> Self {
        let sink = Arc::clone(sink) as Arc<dyn CaptureSink>;
        let transport = Transport::from_settings("main", settings, sink).expect("a transport");
        Self { transport, destination }
    }

    pub(crate) fn smtp(server: FakeSmtp) -> Self {
        Self::new(&TransportSettings::Smtp(settings_of(&server)), &Arc::default(), Destination::Server(server))
    }

    pub(crate) fn resend(server: FakeResend) -> Self {
        Self::new(&TransportSettings::Resend(account_at(&server)), &Arc::default(), Destination::Provider(server))
    }

    pub(crate) async fn all() -> [Self; 5] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("made/when/needed");
        let sink = Arc::default();
        [
            Self::smtp(FakeSmtp::start().await),
            Self::resend(FakeResend::start()),
            Self::new(&TransportSettings::File(path), &sink, Destination::Folder(folder)),
            Self::new(&TransportSettings::Capture, &sink, Destination::Sink(Arc::clone(&sink))),
            Self::new(&TransportSettings::Discard, &sink, Destination::Nothing),
        ]
    }

    pub(crate) async fn send(&self, message: &Message, to: &[EmailAddress], decision: Commit) -> (Attempt, usize) {
        let commits = AtomicUsize::new(0);
        let commit = async {
            assert!(self.messages().is_empty() || commits.load(Ordering::SeqCst) > 0 || self.seen_before(message));
            commits.fetch_add(1, Ordering::SeqCst);
            decision
        };
        (self.transport.send(message, to, commit).await, commits.load(Ordering::SeqCst))
    }

    fn seen_before(&self, message: &Message) -> bool {
        self.messages().iter().all(|(_, bytes)| is_that(bytes.as_ref(), message))
    }

    /// Received messages. A file does not store recipients, and a provider does not store bytes.
    pub(crate) fn messages(&self) -> Vec<ReceivedMail> {
        match &self.destination {
            Destination::Server(server) => {
                server.received().into_iter().map(|mail| (Some(mail.rcpt_to), Some(mail.data))).collect()
            }
            Destination::Provider(server) => {
                server.mails().into_iter().map(|mail| (Some(mail.recipients()), None)).collect()
            }
            Destination::Folder(folder) => {
                files(folder.path()).into_iter().map(|path| (None, std::fs::read(path).ok())).collect()
            }
            Destination::Sink(sink) => {
                let stored = sink.stored.lock().unwrap_or_else(PoisonError::into_inner);
                stored
                    .iter()
                    .map(|mail| {
                        (Some(mail.rcpt_to.iter().map(ToString::to_string).collect()), Some(mail.bytes.clone()))
                    })
                    .collect()
            }
            Destination::Nothing => Vec::new(),
        }
    }

    pub(crate) fn stores_nothing(&self) -> bool {
        matches!(self.destination, Destination::Nothing)
    }
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

pub(crate) fn settings_of(server: &FakeSmtp) -> SmtpSettings {
    SmtpSettings {
        host: server.host(),
        port: server.port(),
        security: Security::None,
        credentials: None,
        ca_file: None,
        hello_name: "test.example.org".into(),
        timeouts: Box::default(),
    }
}

/// Settings of an account at the fake provider, with a short time limit.
pub(crate) fn account_at(server: &FakeResend) -> ResendSettings {
    ResendSettings {
        api_key: FakeResend::API_KEY.to_owned().into(),
        url: server.url().parse().expect("a URL"),
        timeout: Duration::from_secs(10),
        ca_file: None,
    }
}

/// Whether the bytes, if known, are those of the message.
pub(crate) fn is_that(bytes: Option<&Vec<u8>>, message: &Message) -> bool {
    bytes.is_none_or(|bytes| *bytes == message.bytes)
}

pub(crate) fn message() -> Message {
    let mail = mail(json!({"from": "Ż <s@example.org>", "to": ALL[..2], "bcc": ALL[2], "subject": "żółć",
            "text": ".dot\n..\n", "html": "<p>x</p>"}));
    let rendered = Rendered::literal("żółć", Some(".dot\n..\n"), Some("<p>x</p>"));
    compose(&Arc::new(mail), rendered, &identity(), None).expect("composed")
}

pub(crate) fn addresses(all: &[&str]) -> Vec<EmailAddress> {
    all.iter().map(|address| address.parse().expect("an address")).collect()
}

pub(crate) fn verdicts(attempt: &Attempt) -> Vec<(&str, Verdict)> {
    attempt.recipients.iter().map(|own| (own.address.as_str(), own.verdict)).collect()
}

//! Test surroundings of a worker: a key prefix on a private Redis, a fake SMTP server, and helpers.

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use postroom_core::{
    BatchId, JobId, JobReport, JobState, Mail, Policy, Priority, QueueName, Store,
    settings::{Settings, Sources},
    store::{Due, JobTerms, NewBatch, NewJob, ProcessInfo},
};
use postroom_testkit::{FakeSmtp, PrivateRedis, Process, eventually, target_bin, unique_prefix};

pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) smtp: FakeSmtp,
    pub(crate) queue: QueueName,
    pub(crate) env: Vec<(String, String)>,
    folder: Arc<tempfile::TempDir>,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::on(PrivateRedis::shared(), FakeSmtp::start().await).await
    }

    pub(crate) async fn on(redis: &PrivateRedis, smtp: FakeSmtp) -> Self {
        let env: Vec<(String, String)> = [
            ("REDIS_URL", redis.url()),
            ("POSTROOM_PREFIX", unique_prefix()),
            ("SMTP_HOST", smtp.host()),
            ("SMTP_PORT", smtp.port().to_string()),
            ("SMTP_SECURITY", "none".to_owned()),
            ("SMTP_MAIL_FROM", "Postroom <post@example.org>".to_owned()),
            ("LOG_LEVEL", "debug".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        let sources = Sources { env: env.iter().cloned().collect(), ..Sources::default() };
        let settings = Settings::from_sources(&sources).expect("settings");
        let store = Store::connect(&settings.redis).await.expect("a store");
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        Self { store, smtp, queue: QueueName::emails(), env, folder }
    }

    /// Writes `postroom.toml`: these transports, each with its server and further settings, and
    /// `more`.
    pub(crate) fn configure(&self, transports: &[(&str, &FakeSmtp, &str)], more: &str) {
        let table = |(name, server, more): &(&str, &FakeSmtp, &str)| {
            let (host, port) = (server.host(), server.port());
            format!("[transport.{name}]\nkind = 'smtp'\nhost = '{host}'\nport = {port}\nsecurity = 'none'\n{more}\n")
        };
        let tables: String = transports.iter().map(table).collect();
        std::fs::write(self.folder().join("postroom.toml"), tables + more).expect("a file");
    }

    /// Waits until the worker's report is as expected.
    pub(crate) async fn reports(&self, what: &str, expected: impl Fn(&ProcessInfo) -> bool) -> ProcessInfo {
        eventually(LIMIT, what, async || self.store.workers().await.ok()?.pop().filter(|info| expected(info))).await
    }

    /// Returns the Redis key of a job's payload.
    pub(crate) fn payload_key(&self, id: &JobId) -> String {
        self.key(&id.short())
    }

    /// Returns a Redis key of the queue.
    pub(crate) fn key(&self, name: &str) -> String {
        let prefix = self.env.iter().find(|(name, _)| name == "POSTROOM_PREFIX").map(|(_, prefix)| prefix.as_str());
        format!("{{{}:{}}}:{name}", prefix.unwrap_or_default(), self.queue)
    }

    /// Returns the settings, `postroom.toml` included.
    pub(crate) fn settings(&self) -> Settings {
        let file = std::fs::read_to_string(self.folder().join("postroom.toml")).ok();
        let sources = Sources {
            env: self.env.iter().cloned().collect(),
            file: file.map(|text| ("postroom.toml".to_owned(), text)),
            ..Sources::default()
        };
        Settings::from_sources(&sources).expect("settings")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a worker and waits until it serves.
    pub(crate) async fn worker(&self, args: &[&str]) -> Process {
        let mut command = Command::new(target_bin("postroom-worker"));
        command.args(args).current_dir(self.folder()).env_clear().envs(self.env.iter().cloned());
        let process = Process::run(command);
        process.wait_for_line(" serves ", LIMIT).await;
        process
    }

    pub(crate) async fn enqueue(&self, mail: Mail) -> JobId {
        self.enqueue_on(&terms(), mail).await
    }

    pub(crate) async fn enqueue_on(&self, terms: &JobTerms, mail: Mail) -> JobId {
        let id = JobId::new(self.queue.clone());
        let job = NewJob { id: id.clone(), mail };
        self.store.enqueue(&self.queue, None, terms, &[job]).await.expect("enqueued");
        id
    }

    /// Enqueues a batch of `number` mails to `user0@example.org` and so on.
    pub(crate) async fn enqueue_batch(
        &self,
        queue: &QueueName,
        terms: &JobTerms,
        shared: Mail,
        number: u64,
    ) -> BatchId {
        let id = BatchId::new(queue.clone());
        let batch =
            NewBatch { id: id.clone(), name: "news".to_owned(), retention: terms.policy.retention, shared, pace: None };
        self.store.create_batch(&batch).await.expect("created");
        let jobs: Vec<NewJob> = (0..number)
            .map(|index| NewJob {
                id: id.job(index),
                mail: Mail { to: vec![mailbox(&format!("user{index}@example.org"))], ..Mail::default() },
            })
            .collect();
        for chunk in jobs.chunks(100) {
            self.store.enqueue(queue, Some(&id), terms, chunk).await.expect("enqueued");
        }
        self.store.seal_batch(&id, 0, 0).await.expect("sealed");
        id
    }

    pub(crate) async fn job(&self, id: &JobId) -> JobReport {
        self.store.job(id).await.expect("a reply").expect("a job")
    }

    /// Waits until the job is in this state.
    pub(crate) async fn reaches(&self, id: &JobId, state: JobState) -> JobReport {
        eventually(LIMIT, &format!("{id} is {state}"), async || {
            Some(self.job(id).await).filter(|job| job.state == state)
        })
        .await
    }

    /// Returns each recipient as often as the server accepted it.
    pub(crate) fn arrived(&self) -> Vec<String> {
        recipients_at(&self.smtp)
    }
}

/// Returns each recipient as often as a server accepted it.
pub(crate) fn recipients_at(server: &FakeSmtp) -> Vec<String> {
    let mut all: Vec<String> = server.received().into_iter().flat_map(|mail| mail.rcpt_to).collect();
    all.sort();
    all
}

pub(crate) fn mailbox(text: &str) -> postroom_core::Mailbox {
    text.parse().expect("a mailbox")
}

pub(crate) fn mail_to(address: &str) -> Mail {
    serde_json::from_value(serde_json::json!({"to": address, "subject": "Hi", "text": "Hello\n.dot\n"}))
        .expect("a mail")
}

pub(crate) fn plain() -> Mail {
    serde_json::from_value(serde_json::json!({"subject": "Hi", "text": "Hello"})).expect("a mail")
}

pub(crate) fn terms() -> JobTerms {
    JobTerms {
        priority: Priority::NORMAL,
        due: Due::Now,
        expires: None,
        policy: Policy::of_queue("emails"),
        sensitive: false,
    }
}

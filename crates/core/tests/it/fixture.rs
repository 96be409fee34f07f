//! A store with its own prefix, and helpers for common calls.

use postroom_core::{
    AttemptRecord, BatchId, JobId, JobState, Mail, Policy, Priority, QueueName, RecipientReport, RecipientResult,
    Store,
    settings::{RedisSettings, Settings, Sources},
    store::{
        Begin, BeginReply, Claim, ClaimId, ClaimReply, Claimed, Due, Finish, FinishReply, JobTerms, NewBatch, NewJob,
        Outcome, Settled, SweepReply, WorkerId,
    },
};
use postroom_testkit::{PrivateRedis, unique_prefix};

pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) prefix: String,
    pub(crate) queue: QueueName,
}

pub(crate) fn redis_settings(url: &str, prefix: &str) -> RedisSettings {
    let env = [("REDIS_URL", url), ("POSTROOM_PREFIX", prefix)];
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let sources = Sources { env, ..Sources::default() };
    Settings::from_sources(&sources).expect("settings").redis
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::on(PrivateRedis::shared()).await
    }

    pub(crate) async fn on(redis: &PrivateRedis) -> Self {
        Self::at(&redis.url()).await
    }

    pub(crate) async fn at(url: &str) -> Self {
        let prefix = unique_prefix();
        let store = Store::connect(&redis_settings(url, &prefix)).await.expect("a store");
        Self { store, prefix, queue: QueueName::emails() }
    }

    /// Returns the raw reply to a Redis command on one of the queue's keys.
    pub(crate) fn raw(&self, command: &str, key: &str, args: &[&str]) -> String {
        let key = format!("{{{}:{}}}:{key}", self.prefix, self.queue);
        let mut words = vec![command, key.as_str()];
        words.extend(args);
        PrivateRedis::shared().ask(&words)
    }

    /// Returns how often the lists of sent jobs name the job.
    pub(crate) fn times_sent(&self, id: &JobId) -> usize {
        let hours = self.raw("ZRANGE", "sent", &["0", "-1"]);
        let in_hour = |hour: &str| {
            let places = self.raw("LPOS", &format!("sent:{hour}"), &[&id.short(), "COUNT", "0"]);
            places.lines().filter(|place| place.parse::<u64>().is_ok()).count()
        };
        hours.lines().map(in_hour).sum()
    }

    pub(crate) async fn enqueue(&self, terms: &JobTerms) -> JobId {
        let id = JobId::new(self.queue.clone());
        self.enqueue_as(&id, None, terms).await;
        id
    }

    pub(crate) async fn enqueue_as(&self, id: &JobId, batch: Option<&BatchId>, terms: &JobTerms) {
        let job = NewJob { id: id.clone(), mail: mail() };
        self.store.enqueue(&self.queue, batch, terms, &[job]).await.expect("enqueued");
    }

    pub(crate) async fn create_batch(&self) -> BatchId {
        let id = BatchId::new(self.queue.clone());
        let shared = Mail { subject: Some("shared".to_owned()), ..Mail::default() };
        let batch = NewBatch {
            id: id.clone(),
            name: "news".to_owned(),
            retention: terms().policy.retention,
            shared,
            pace: None,
        };
        self.store.create_batch(&batch).await.expect("created");
        id
    }

    pub(crate) async fn claim(&self, worker: &WorkerId, want: usize) -> Vec<Claimed> {
        self.claim_as(worker, &ClaimId::generate(), want).await
    }

    pub(crate) async fn claim_as(&self, worker: &WorkerId, id: &ClaimId, want: usize) -> Vec<Claimed> {
        let claim = Claim::new(&self.queue, worker, id, want);
        match self.store.claim(&claim).await.expect("a reply") {
            ClaimReply::Jobs { jobs, .. } => jobs,
            ClaimReply::Paused | ClaimReply::Wait(_) => Vec::new(),
            ClaimReply::Newer { version, .. } => panic!("protocol {version}"),
        }
    }

    pub(crate) async fn begin(&self, worker: &WorkerId, job: &Claimed) -> BeginReply {
        self.begin_all(worker, std::slice::from_ref(job)).await[0]
    }

    pub(crate) async fn begin_all(&self, worker: &WorkerId, jobs: &[Claimed]) -> Vec<BeginReply> {
        let mark = |job: &Claimed| Begin {
            id: job.id.clone(),
            fence: job.fence,
            message_id: "message@example.org".to_owned(),
            date_ms: 1_700_000_000_000,
        };
        let marks: Vec<_> = jobs.iter().map(mark).collect();
        self.store.begin(&self.queue, worker, &marks).await.expect("a reply")
    }

    pub(crate) async fn finish(&self, worker: &WorkerId, job: &Claimed, outcome: Outcome) -> FinishReply {
        self.finish_all(worker, std::slice::from_ref(job), outcome, &Settled::default()).await[0]
    }

    pub(crate) async fn finish_all(
        &self,
        worker: &WorkerId,
        jobs: &[Claimed],
        outcome: Outcome,
        settled: &Settled,
    ) -> Vec<FinishReply> {
        let item = |job: &Claimed| Finish::new(&job.id, job.fence, outcome, "", settled).expect("a finish");
        let items: Vec<_> = jobs.iter().map(item).collect();
        self.store.finish(&self.queue, worker, &items).await.expect("a reply")
    }

    pub(crate) async fn sweep(&self, worker: &WorkerId) -> SweepReply {
        self.store.sweep(&self.queue, worker).await.expect("swept")
    }

    pub(crate) async fn state(&self, id: &JobId) -> JobState {
        self.store.job(id).await.expect("a reply").expect("a job").state
    }
}

pub(crate) fn mail() -> Mail {
    serde_json::from_value(serde_json::json!({"to": "ann@example.org", "subject": "Hi", "text": "Hello"}))
        .expect("a mail")
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

/// The result of a first attempt that was accepted, without unusual fields.
pub(crate) fn accepted() -> Settled {
    let record = AttemptRecord {
        n: 1,
        counted: true,
        at_ms: 1_700_000_000_000,
        transport: "default".to_owned(),
        phase: Some("dot".to_owned()),
        code: Some(250),
        enhanced: Some("2.0.0".to_owned()),
        reply: "250 2.0.0 Ok: queued as 4bX".to_owned(),
        verdict: "accepted".to_owned(),
        ms: 12,
    };
    let recipient = RecipientReport {
        address: "ann@example.org".parse().expect("an address"),
        result: RecipientResult::Accepted,
        reply: None,
    };
    Settled {
        attempt: 1,
        error: None,
        receipt: Some("Ok: queued as 4bX".to_owned()),
        recipients: vec![recipient],
        records: vec![record],
    }
}

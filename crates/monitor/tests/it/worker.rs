//! Data that a worker would store.

use std::time::Duration;

use postroom_core::{
    AttemptRecord, BatchId, JobId, Mail, Policy, Priority, QueueName, RecipientReport, RecipientResult, Store,
    store::{
        Begin, Claim, ClaimId, ClaimReply, Claimed, Defer, Due, Finish, JobTerms, NewBatch, NewJob, Outcome, Settled,
        WorkerId,
    },
};
use serde_json::json;

pub(crate) fn emails() -> QueueName {
    QueueName::emails()
}

pub(crate) fn mail(to: &str, subject: &str) -> Mail {
    serde_json::from_value(json!({ "to": to, "subject": subject, "text": format!("text of {subject}") })).unwrap()
}

pub(crate) fn terms(queue: &QueueName) -> JobTerms {
    JobTerms {
        priority: Priority::NORMAL,
        due: Due::Now,
        expires: None,
        policy: Policy::of_queue(queue.as_str()),
        sensitive: false,
    }
}

pub(crate) async fn enqueue(store: &Store, queue: &QueueName, mail: Mail) -> JobId {
    enqueue_with(store, queue, &terms(queue), mail).await
}

pub(crate) async fn enqueue_with(store: &Store, queue: &QueueName, terms: &JobTerms, mail: Mail) -> JobId {
    let id = JobId::new(queue.clone());
    store.register_queues(std::slice::from_ref(queue)).await.unwrap();
    store.enqueue(queue, None, terms, &[NewJob { id: id.clone(), mail }]).await.unwrap();
    id
}

/// Creates a batch of mails to `a0@example.org` and so on.
pub(crate) async fn batch(store: &Store, name: &str, size: u64) -> BatchId {
    let queue = QueueName::bulk();
    let id = BatchId::new(queue.clone());
    let shared = serde_json::from_value(json!({ "subject": "News", "text": "Hello {{ name }}" })).unwrap();
    let batch = NewBatch {
        id: id.clone(),
        name: name.to_owned(),
        retention: Some(Duration::from_secs(3_600)),
        shared,
        pace: None,
    };
    store.create_batch(&batch).await.unwrap();
    let job = |index| {
        let mail = serde_json::from_value(json!({ "to": format!("a{index}@example.org") })).unwrap();
        NewJob { id: id.job(index), mail }
    };
    let jobs: Vec<NewJob> = (0..size).map(job).collect();
    store.enqueue(&queue, Some(&id), &terms(&queue), &jobs).await.unwrap();
    store.seal_batch(&id, 1, 0).await.unwrap();
    id
}

/// A worker that settles jobs without sending them.
pub(crate) struct FakeWorker<'a> {
    store: &'a Store,
    queue: QueueName,
    worker: WorkerId,
}

impl<'a> FakeWorker<'a> {
    pub(crate) fn new(store: &'a Store, queue: QueueName) -> Self {
        Self { store, queue, worker: WorkerId::generate() }
    }

    pub(crate) async fn claim(&self, want: usize) -> Vec<Claimed> {
        let id = ClaimId::generate();
        let claim = Claim::new(&self.queue, &self.worker, &id, want);
        match self.store.claim(&claim).await.unwrap() {
            ClaimReply::Jobs { jobs, .. } => jobs,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn begin(&self, job: &Claimed) {
        let mark = Begin {
            id: job.id.clone(),
            fence: job.fence,
            message_id: "id@example.org".to_owned(),
            date_ms: 1_700_000_000_000,
        };
        self.store.begin(&self.queue, &self.worker, &[mark]).await.unwrap();
    }

    /// Claims a job and finishes it with an outcome.
    pub(crate) async fn settle_next(&self, outcome: Outcome, reply: &str) -> JobId {
        let job = self.claim(1).await.remove(0);
        self.begin(&job).await;
        let item = Finish::new(&job.id, job.fence, outcome, "", &settled(&job, outcome, reply)).unwrap();
        self.store.finish(&self.queue, &self.worker, &[item]).await.unwrap();
        job.id
    }

    pub(crate) async fn defer_next(&self, reply: &str) -> JobId {
        let job = self.claim(1).await.remove(0);
        let settled = settled(&job, Outcome::Failed, reply);
        let item = Defer { id: job.id.clone(), fence: job.fence, delay: Duration::from_secs(600), left: settled };
        self.store.defer(&self.queue, &self.worker, &[item]).await.unwrap();
        job.id
    }
}

fn settled(job: &Claimed, outcome: Outcome, reply: &str) -> Settled {
    let sent = outcome == Outcome::Sent;
    let result = if sent { RecipientResult::Accepted } else { RecipientResult::Refused };
    let mail = job.content.as_ref().map(|(_, mail)| mail.clone()).unwrap();
    let recipients = mail.recipients().into_iter().map(|address| RecipientReport {
        address: address.clone(),
        result,
        reply: (!sent).then(|| reply.to_owned()),
    });
    Settled {
        attempt: job.attempt + 1,
        error: (!sent).then(|| ("refused".to_owned(), reply.to_owned())),
        receipt: sent.then(|| "queued as 4711".to_owned()),
        recipients: recipients.collect(),
        records: vec![AttemptRecord {
            n: job.tries + 1,
            counted: true,
            at_ms: 1_700_000_000_000,
            transport: "main".to_owned(),
            phase: Some("dot".to_owned()),
            code: Some(if sent { 250 } else { 550 }),
            enhanced: Some("5.1.1".to_owned()).filter(|_| !sent),
            reply: reply.to_owned(),
            verdict: if sent { "accepted" } else { "refused" }.to_owned(),
            ms: 42,
        }],
    }
}

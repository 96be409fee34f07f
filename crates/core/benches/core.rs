//! Benchmarks of the scripts of a delivery: claim, begin and finish, singly and in batches. They
//! use a private Redis over a unix socket.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use postroom_core::{
    JobId, Mail, Policy, Priority, QueueName, Store,
    settings::{Settings, Sources},
    store::{Begin, Claim, ClaimId, ClaimReply, Claimed, Due, Finish, JobTerms, NewJob, Outcome, Settled, WorkerId},
};
use postroom_testkit::{PrivateRedis, unique_prefix};
use tokio::runtime::Runtime;

/// A store with a worker and its queue.
struct Fixture {
    store: Store,
    queue: QueueName,
    worker: WorkerId,
}

fn scripts(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let redis = runtime.block_on(PrivateRedis::start());
    let fixture = runtime.block_on(Fixture::on(&redis));
    let mut group = criterion.benchmark_group("scripts");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for at_once in [1, 10, 40] {
        group.bench_function(format!("claim_begin_finish/{at_once}"), |bencher| {
            bencher.iter_custom(|mails| {
                runtime.block_on(fixture.send(usize::try_from(mails).expect("a number"), at_once))
            });
        });
    }
    group.finish();
}

impl Fixture {
    async fn on(redis: &PrivateRedis) -> Self {
        let env = [("REDIS_URL", redis.url()), ("POSTROOM_PREFIX", unique_prefix())];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let settings = Settings::from_sources(&Sources { env, ..Sources::default() }).expect("settings");
        let store = Store::connect(&settings.redis).await.expect("a store");
        Self { store, queue: QueueName::emails(), worker: WorkerId::generate() }
    }

    /// Returns the time to deliver a number of mails that are queued already.
    async fn send(&self, mails: usize, at_once: usize) -> Duration {
        self.enqueue(mails).await;
        let start = Instant::now();
        let mut left = mails;
        while left > 0 {
            left -= self.send_some(at_once.min(left)).await;
        }
        start.elapsed()
    }

    async fn enqueue(&self, mails: usize) {
        let policy = Policy { retention: None, ..Policy::of_queue("emails") };
        let terms = JobTerms { priority: Priority::NORMAL, due: Due::Now, expires: None, policy, sensitive: false };
        let mail = Mail { subject: Some("Hello".to_owned()), text: Some("x".repeat(1_000).into()), ..Mail::default() };
        let new = |_| NewJob { id: JobId::new(self.queue.clone()), mail: mail.clone() };
        let jobs: Vec<NewJob> = (0..mails).map(new).collect();
        for chunk in jobs.chunks(100) {
            self.store.enqueue(&self.queue, None, &terms, chunk).await.expect("enqueued");
        }
    }

    async fn send_some(&self, want: usize) -> usize {
        let id = ClaimId::generate();
        let claim = Claim::new(&self.queue, &self.worker, &id, want);
        let ClaimReply::Jobs { jobs, .. } = self.store.claim(&claim).await.expect("a reply") else {
            panic!("no jobs");
        };
        let mark = |job: &Claimed| Begin {
            id: job.id.clone(),
            fence: job.fence,
            message_id: format!("{}@example.org", job.id),
            date_ms: 1,
        };
        let marks: Vec<_> = jobs.iter().map(mark).collect();
        self.store.begin(&self.queue, &self.worker, &marks).await.expect("begun");
        let sent = |job: &Claimed| {
            Finish::new(&job.id, job.fence, Outcome::Sent, "", &Settled::default()).expect("a settlement")
        };
        let finished: Vec<_> = jobs.iter().map(sent).collect();
        self.store.finish(&self.queue, &self.worker, &finished).await.expect("finished").len()
    }
}

criterion_group!(benches, scripts);
criterion_main!(benches);

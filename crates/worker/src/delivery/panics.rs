//! Panic handling: a delivery that panics fails its own job only.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use postroom_core::{
    JobId,
    store::{Outcome, Settled},
};
use tracing::warn;

use crate::{permits::Slot, send_stats::SendStats, transports::Route};

/// Data for settling a job whose delivery panicked.
#[derive(Debug)]
pub(crate) struct PanicRecovery {
    pub(crate) route: Arc<Route>,
    pub(crate) stats: Arc<SendStats>,
    pub(crate) id: JobId,
    pub(crate) fence: u64,
    pub(crate) attempt: u32,
    /// Whether the mark was written and the committing bytes may have left.
    pub(crate) begun: Arc<AtomicBool>,
}

/// Runs a delivery and holds its slot until it ends or panics. The future is boxed because it is
/// large and moved.
pub(crate) async fn watched(
    slot: Arc<Slot>,
    recovery: PanicRecovery,
    mut delivery: Pin<Box<impl Future<Output = ()> + Send>>,
) {
    // A future that panicked is not polled again, so its inconsistent state is never seen.
    let ended = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| delivery.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    });
    if let Err(panic) = ended.await {
        recovery.settle(text(panic.as_ref())).await;
    }
    drop(slot);
}

impl PanicRecovery {
    /// Fails the job; after its mark the job is in doubt. No other job is touched.
    async fn settle(self, message: String) {
        let id = self.id;
        warn!(job = %id, "the delivery of {id} panicked");
        let outcome = if self.begun.load(Ordering::Relaxed) { Outcome::Unknown } else { Outcome::Failed };
        let left =
            Settled { attempt: self.attempt + 1, error: Some(("panic".to_owned(), message)), ..Settled::default() };
        match self.route.settler.finish(&id, self.fence, outcome, "panic", &left).await {
            Ok(_) => self.stats.count_outcome(outcome),
            Err(error) => warn!(job = %id, "cannot settle {id}: {error}"),
        }
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use postroom_core::{
        JobState, Mail, Outage, Policy, Priority, QueueName, Store,
        settings::{Settings, Sources},
        store::{Claim, ClaimId, ClaimReply, Due, JobTerms, NewJob},
    };
    use postroom_testkit::{PrivateRedis, unique_prefix};

    use super::*;
    use crate::{permits::Slots, worker::Worker};

    async fn worker() -> Arc<Worker> {
        let env = [
            ("REDIS_URL", PrivateRedis::shared().url()),
            ("POSTROOM_PREFIX", unique_prefix()),
            ("MAIL_TRANSPORT", "discard".to_owned()),
        ];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let settings = Settings::from_sources(&Sources { env, ..Sources::default() }).expect("settings");
        let store = Store::connect(&settings.redis).await.expect("a store");
        let worker = Arc::new(Worker::new(store, settings, Outage::default()).expect("a worker"));
        worker.redis.jobs.mark_synced(&worker.redis.jobs.unsynced_run().await);
        worker
    }

    /// Claims new jobs and returns the data for settling each.
    async fn claimed(worker: &Arc<Worker>, number: usize) -> Vec<PanicRecovery> {
        let queue = QueueName::emails();
        let terms = JobTerms {
            priority: Priority::NORMAL,
            due: Due::Now,
            expires: None,
            policy: Policy { on_unknown: postroom_core::OnUnknown::Hold, ..Policy::of_queue("emails") },
            sensitive: false,
        };
        let new = |_| NewJob { id: JobId::new(QueueName::emails()), mail: Mail::default() };
        let jobs: Vec<NewJob> = (0..number).map(new).collect();
        worker.redis.store.enqueue(&queue, None, &terms, &jobs).await.expect("enqueued");
        let id = ClaimId::generate();
        let claim = Claim::new(&queue, &worker.redis.worker_id, &id, number);
        let ClaimReply::Jobs { jobs, .. } = worker.redis.store.claim(&claim).await.expect("an answer") else {
            panic!("no jobs");
        };
        let recovery = |job: postroom_core::store::Claimed| PanicRecovery {
            route: Arc::clone(worker.transports.route(&queue)),
            stats: Arc::clone(&worker.stats),
            id: job.id,
            fence: job.fence,
            attempt: job.attempt,
            begun: Arc::default(),
        };
        jobs.into_iter().map(recovery).collect()
    }

    #[tokio::test]
    async fn a_panic_fails_its_own_job_or_leaves_it_in_doubt_after_the_mark() {
        let worker = worker().await;
        let mut all = claimed(&worker, 3).await;
        all[1].begun.store(true, Ordering::Relaxed);
        let ids: Vec<JobId> = all.iter().map(|case| case.id.clone()).collect();
        let (slots, queue) = (Slots::new(3, 1), QueueName::emails());
        let slot = || Arc::new(slots.take(&queue, true).expect("a slot"));
        watched(slot(), all.remove(0), Box::pin(async { panic!("boom {}", 1) })).await;
        watched(slot(), all.remove(0), Box::pin(async { panic!("after the mark") })).await;
        watched(slot(), all.remove(0), Box::pin(async {})).await;
        assert_eq!(slots.free(&queue).any, 3, "all slots are free");
        let mut results = Vec::new();
        for id in &ids {
            let report = worker.redis.store.job(id).await.expect("an answer").expect("a job");
            results.push((report.state, report.reason, report.error.map(|error| error.message)));
        }
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(results[0], (JobState::Failed, text("panic"), text("boom 1")));
        assert_eq!((results[1].0, &results[1].2), (JobState::Unknown, &text("after the mark")));
        assert_eq!(results[2], (JobState::Sending, None, None), "other jobs are not touched");
        assert_eq!(worker.stats.totals(), (0, 1));
    }
}

//! A delivery that panics fails its own job only.

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

use crate::{office::Office, slots::Slot};

/// What settles a job whose delivery panicked.
#[derive(Debug)]
pub(crate) struct InCase {
    pub(crate) office: Arc<Office>,
    pub(crate) id: JobId,
    pub(crate) fence: u64,
    pub(crate) attempt: u32,
    /// Whether its mark is written and the committing bytes may have left.
    pub(crate) begun: Arc<AtomicBool>,
}

/// Runs a delivery and keeps its slot until it ends, however it does. It is boxed since it is large, and moved on its way here.
pub(crate) async fn watched(slot: Slot, in_case: InCase, mut delivery: Pin<Box<impl Future<Output = ()> + Send>>) {
    // What panicked is not polled again: nobody sees what it left half done.
    let ended = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| delivery.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    });
    if let Err(panic) = ended.await {
        in_case.settle(text(panic.as_ref())).await;
    }
    drop(slot);
}

impl InCase {
    /// The job fails, or is in doubt when its mark was written, and nothing else is touched.
    async fn settle(self, what: String) {
        let id = self.id;
        warn!(job = %id, "the delivery of {id} panicked");
        let outcome = if self.begun.load(Ordering::Relaxed) { Outcome::Unknown } else { Outcome::Failed };
        let left = Settled { attempt: self.attempt + 1, error: Some(("panic".to_owned(), what)), ..Settled::default() };
        let settler = &self.office.counter(id.queue()).settler;
        match settler.finish(&id, self.fence, outcome, "panic", &left).await {
            Ok(_) => self.office.tally(outcome),
            Err(problem) => warn!(job = %id, "{id} could not be settled: {problem}"),
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
    use crate::slots::Slots;

    async fn office() -> Arc<Office> {
        let env = [
            ("REDIS_URL", PrivateRedis::shared().url()),
            ("POSTROOM_PREFIX", unique_prefix()),
            ("MAIL_TRANSPORT", "discard".to_owned()),
        ];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let settings = Settings::from_sources(&Sources { env, ..Sources::default() }).expect("settings");
        let store = Store::connect(&settings.redis).await.expect("a store");
        let office = Arc::new(Office::open(store, settings, Outage::default()).expect("an office"));
        office.jobs.mark_synced(&office.jobs.unsynced_run().await);
        office
    }

    /// Claims a new job for each and says what is to be known in case.
    async fn claimed(office: &Arc<Office>, number: usize) -> Vec<InCase> {
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
        office.store.enqueue(&queue, None, &terms, &jobs).await.expect("enqueued");
        let id = ClaimId::generate();
        let claim = Claim::new(&queue, &office.id, &id, number);
        let ClaimReply::Jobs { jobs, .. } = office.store.claim(&claim).await.expect("an answer") else {
            panic!("no jobs");
        };
        let in_case = |job: postroom_core::store::Claimed| InCase {
            office: Arc::clone(office),
            id: job.id,
            fence: job.fence,
            attempt: job.attempt,
            begun: Arc::default(),
        };
        jobs.into_iter().map(in_case).collect()
    }

    #[tokio::test]
    async fn only_its_own_job_fails_and_after_the_mark_it_is_in_doubt() {
        let office = office().await;
        let mut all = claimed(&office, 3).await;
        all[1].begun.store(true, Ordering::Relaxed);
        let ids: Vec<JobId> = all.iter().map(|one| one.id.clone()).collect();
        let (slots, queue) = (Slots::new(3, 1), QueueName::emails());
        let slot = || slots.take(&queue, true).expect("a slot");
        watched(slot(), all.remove(0), Box::pin(async { panic!("boom {}", 1) })).await;
        watched(slot(), all.remove(0), Box::pin(async { panic!("after the mark") })).await;
        watched(slot(), all.remove(0), Box::pin(async {})).await;
        assert_eq!(slots.room(&queue).any, 3, "every slot is free again");
        let mut told = Vec::new();
        for id in &ids {
            let report = office.store.job(id).await.expect("an answer").expect("a job");
            told.push((report.state, report.reason, report.error.map(|error| error.message)));
        }
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(told[0], (JobState::Failed, text("panic"), text("boom 1")));
        assert_eq!((told[1].0, &told[1].2), (JobState::Unknown, &text("after the mark")));
        assert_eq!(told[2], (JobState::Sending, None, None), "the others are not touched");
        assert_eq!(office.failed.load(Ordering::Relaxed), 1);
    }
}

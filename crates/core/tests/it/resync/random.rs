//! Random operations, a lost second of writes, and a resync that restores the former state.

use std::{collections::BTreeMap, time::Duration};

use postroom_core::{
    BatchId, JobId, JobState, Mail,
    store::{BeginReply, Claimed, Defer, KnownJob, KnownState, NewBatch, Outcome, RunId, Settled, WorkerId},
};
use proptest::{prelude::*, sample::Index};

use super::{held_terms, lose_writes, save};
use crate::fixture::{Fixture, terms};

const WORKERS: usize = 3;

#[derive(Debug, Clone)]
enum ResyncOp {
    Enqueue,
    Claim(usize, usize),
    Begin(Index),
    Finish(Index, u8),
    Defer(Index, bool),
}

fn op() -> impl Strategy<Value = ResyncOp> {
    prop_oneof![
        3 => Just(ResyncOp::Enqueue),
        4 => (0..WORKERS, 1..4_usize).prop_map(|(worker, want)| ResyncOp::Claim(worker, want)),
        4 => any::<Index>().prop_map(ResyncOp::Begin),
        3 => (any::<Index>(), 0..3_u8).prop_map(|(claim, outcome)| ResyncOp::Finish(claim, outcome)),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(claim, later)| ResyncOp::Defer(claim, later)),
    ]
}

/// A claim, and what its worker knows about it.
struct KnownClaim {
    worker: usize,
    claim: Claimed,
    begun: bool,
    reported: Option<KnownOutcome>,
}

enum KnownOutcome {
    Finished(Outcome),
    Deferred(Duration),
}

struct ResyncRun {
    fixture: Fixture,
    workers: Vec<WorkerId>,
    batch: BatchId,
    jobs: u64,
    known: Vec<KnownClaim>,
}

impl ResyncRun {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let batch = BatchId::new(fixture.queue.clone());
        let workers = (0..WORKERS).map(|_| WorkerId::generate()).collect();
        let run = Self { fixture, workers, batch, jobs: 0, known: Vec::new() };
        for worker in 0..WORKERS {
            run.end_resync(worker, &"run-1".into()).await;
        }
        run
    }

    async fn apply(&mut self, op: &ResyncOp) {
        match op {
            ResyncOp::Enqueue => {
                self.jobs += 1;
                self.enqueue(self.jobs - 1).await;
            }
            ResyncOp::Claim(worker, want) => {
                for claim in self.fixture.claim(&self.workers[*worker], *want).await {
                    self.known.push(KnownClaim { worker: *worker, claim, begun: false, reported: None });
                }
            }
            ResyncOp::Begin(index) => {
                let Some(at) = self.pick(index) else { return };
                let known = &mut self.known[at];
                let reply = self.fixture.begin(&self.workers[known.worker], &known.claim).await;
                known.begun = reply == BeginReply::Begun;
            }
            ResyncOp::Finish(index, outcome) => {
                let outcome = [Outcome::Sent, Outcome::Failed, Outcome::Unknown][usize::from(*outcome)];
                self.settle(index, KnownOutcome::Finished(outcome)).await;
            }
            ResyncOp::Defer(index, later) => {
                let delay = Duration::from_secs(if *later { 3_600 } else { 0 });
                self.settle(index, KnownOutcome::Deferred(delay)).await;
            }
        }
    }

    /// Returns one of the claims without an outcome.
    fn pick(&self, index: &Index) -> Option<usize> {
        let open: Vec<usize> = (0..self.known.len()).filter(|at| self.known[*at].reported.is_none()).collect();
        (!open.is_empty()).then(|| open[index.index(open.len())])
    }

    async fn settle(&mut self, index: &Index, reported: KnownOutcome) {
        let Some(at) = self.pick(index) else { return };
        self.known[at].reported = Some(reported);
        self.report(at).await;
    }

    async fn report(&self, at: usize) {
        let known = &self.known[at];
        let (worker, id) = (&self.workers[known.worker], known.claim.id.clone());
        match known.reported.as_ref().expect("an outcome") {
            KnownOutcome::Finished(outcome) => drop(self.fixture.finish(worker, &known.claim, *outcome).await),
            KnownOutcome::Deferred(delay) => {
                let item = Defer { id, fence: known.claim.fence, delay: *delay, left: Settled::default() };
                self.fixture.store.defer(&self.fixture.queue, worker, &[item]).await.expect("a reply");
            }
        }
    }

    async fn enqueue(&self, index: u64) {
        let shared = Mail { subject: Some("shared".to_owned()), ..Mail::default() };
        let batch = NewBatch {
            id: self.batch.clone(),
            name: "news".to_owned(),
            retention: terms().policy.retention,
            shared,
            pace: None,
        };
        self.fixture.store.create_batch(&batch).await.expect("created or known");
        self.fixture.enqueue_as(&self.batch.job(index), Some(&self.batch), &held_terms()).await;
    }

    async fn enqueue_all_again(&self) {
        for index in 0..self.jobs {
            self.enqueue(index).await;
        }
    }

    async fn restate(&self, worker: usize, run: &RunId) {
        let mine: Vec<usize> = (0..self.known.len()).filter(|at| self.known[*at].worker == worker).collect();
        let stored: Vec<String> = mine.iter().map(|at| stored(&self.known[*at])).collect();
        let jobs: Vec<KnownJob<'_>> = mine
            .iter()
            .zip(&stored)
            .map(|(at, payload)| {
                let known = &self.known[*at];
                KnownJob {
                    id: &known.claim.id,
                    fence: known.claim.fence,
                    state: match known.reported {
                        None => KnownState::Held,
                        Some(KnownOutcome::Finished(Outcome::Sent)) => KnownState::Sent,
                        Some(_) => KnownState::Settled,
                    },
                    begun: known.begun.then_some(("message@example.org", 1)),
                    payload,
                }
            })
            .collect();
        let store = &self.fixture.store;
        store.restate(&self.fixture.queue, &self.workers[worker], run, &jobs).await.expect("restated");
        for at in mine {
            if self.known[at].reported.is_some() {
                self.report(at).await;
            }
        }
        self.end_resync(worker, run).await;
    }

    async fn end_resync(&self, worker: usize, run: &RunId) {
        let store = &self.fixture.store;
        store.complete_restate(&self.fixture.queue, &self.workers[worker], run).await.expect("resynchronised");
    }

    async fn states(&self) -> BTreeMap<JobId, JobState> {
        let ids: Vec<JobId> = (0..self.jobs).map(|index| self.batch.job(index)).collect();
        let reports = self.fixture.store.jobs(&ids).await.expect("a reply");
        ids.into_iter().zip(reports).map(|(id, report)| (id, report.expect("a job").state)).collect()
    }

    /// Jobs that are being sent keep their mark: without it, a lost worker would count as not
    /// begun.
    fn check_marks(&self, states: &BTreeMap<JobId, JobState>) {
        let held =
            self.known.iter().filter(|known| known.reported.is_none() && states[&known.claim.id] == JobState::Sending);
        for known in held {
            let mark = self.fixture.raw("HEXISTS", &format!("h:{}", known.claim.id.short()), &["begun_ms"]);
            assert_eq!(mark == "1", known.begun, "{}", known.claim.id);
        }
    }

    async fn check_counters(&self, states: &BTreeMap<JobId, JobState>) {
        let queue = self.fixture.store.queue(&self.fixture.queue).await.expect("a queue");
        let count = |state| states.values().filter(|other| **other == state).count() as u64;
        use JobState::{Cancelled, Deferred, Failed, Queued, Scheduled, Sending, Sent, Unknown};
        let counters = [queue.scheduled, queue.queued, queue.sending, queue.deferred, queue.unknown];
        assert_eq!(counters, [Scheduled, Queued, Sending, Deferred, Unknown].map(count));
        if self.jobs == 0 {
            return;
        }
        let batch = self.fixture.store.batch(&self.batch).await.expect("a reply").expect("a batch");
        let counters = [batch.queued, batch.sending, batch.deferred, batch.sent, batch.failed, batch.cancelled];
        assert_eq!(counters, [Queued, Sending, Deferred, Sent, Failed, Cancelled].map(count));
        assert_eq!(batch.total, self.jobs);
    }
}

/// Returns the payload that a worker keeps: for a sent job only the header.
fn stored(known: &KnownClaim) -> String {
    match known.reported {
        Some(KnownOutcome::Finished(Outcome::Sent)) => {
            format!("{}\n{{}}", known.claim.payload.lines().next().expect("a header"))
        }
        _ => known.claim.payload.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        max_shrink_iters: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_resync_restores_lost_writes(
        before in prop::collection::vec(op(), 0..25),
        after in prop::collection::vec(op(), 0..25),
        order in Just(vec![0, 1, 2, 3]).prop_shuffle(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut run = ResyncRun::new().await;
            for op in &before {
                run.apply(op).await;
            }
            save(&run.fixture);
            for op in &after {
                run.apply(op).await;
            }
            let states = run.states().await;
            lose_writes(&run.fixture);
            for step in order {
                match step {
                    worker if worker < WORKERS => run.restate(worker, &"run-2".into()).await,
                    _ => run.enqueue_all_again().await,
                }
            }
            assert_eq!(run.states().await, states, "all states are restored");
            run.check_counters(&states).await;
            run.check_marks(&states);
            let next = WorkerId::generate();
            let waiting = states.values().filter(|state| **state == JobState::Queued).count();
            assert_eq!(run.fixture.claim(&next, 200).await.len(), waiting, "queued jobs are claimed once");
        });
    }
}

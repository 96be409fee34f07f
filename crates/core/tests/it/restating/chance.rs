//! Anything by chance, a lost moment, and all is as it was.

use std::{collections::BTreeMap, time::Duration};

use postroom_core::{
    BatchId, JobId, JobState, Mail,
    store::{BeginReply, Claimed, Defer, KnownJob, KnownState, NewBatch, Outcome, RunId, Settled, WorkerId},
};
use proptest::{prelude::*, sample::Index};

use super::{forget, held_terms, remember};
use crate::fixture::{Fixture, terms};

const WORKERS: usize = 3;

#[derive(Debug, Clone)]
enum Op {
    Enqueue,
    Claim(usize, usize),
    Begin(Index),
    Finish(Index, u8),
    Defer(Index, bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Enqueue),
        4 => (0..WORKERS, 1..4_usize).prop_map(|(worker, want)| Op::Claim(worker, want)),
        4 => any::<Index>().prop_map(Op::Begin),
        3 => (any::<Index>(), 0..3_u8).prop_map(|(claim, outcome)| Op::Finish(claim, outcome)),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(claim, later)| Op::Defer(claim, later)),
    ]
}

/// A claim, and what its worker knows of it.
struct Knowledge {
    worker: usize,
    claim: Claimed,
    begun: bool,
    said: Option<Said>,
}

enum Said {
    Finished(Outcome),
    Deferred(Duration),
}

struct Run {
    fixture: Fixture,
    workers: Vec<WorkerId>,
    batch: BatchId,
    jobs: u64,
    known: Vec<Knowledge>,
}

impl Run {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let batch = BatchId::new(fixture.queue.clone());
        let workers = (0..WORKERS).map(|_| WorkerId::generate()).collect();
        let run = Self { fixture, workers, batch, jobs: 0, known: Vec::new() };
        for worker in 0..WORKERS {
            run.speak(worker, &"run-1".into()).await;
        }
        run
    }

    async fn apply(&mut self, op: &Op) {
        match op {
            Op::Enqueue => {
                self.jobs += 1;
                self.put_in(self.jobs - 1).await;
            }
            Op::Claim(worker, want) => {
                for claim in self.fixture.claim(&self.workers[*worker], *want).await {
                    self.known.push(Knowledge { worker: *worker, claim, begun: false, said: None });
                }
            }
            Op::Begin(index) => {
                let Some(at) = self.pick(index) else { return };
                let known = &mut self.known[at];
                let reply = self.fixture.begin(&self.workers[known.worker], &known.claim).await;
                known.begun = reply == BeginReply::Begun;
            }
            Op::Finish(index, outcome) => {
                let outcome = [Outcome::Sent, Outcome::Failed, Outcome::Unknown][usize::from(*outcome)];
                self.settle(index, Said::Finished(outcome)).await;
            }
            Op::Defer(index, later) => {
                let delay = Duration::from_secs(if *later { 3_600 } else { 0 });
                self.settle(index, Said::Deferred(delay)).await;
            }
        }
    }

    /// One of the claims of which nothing was said yet.
    fn pick(&self, index: &Index) -> Option<usize> {
        let open: Vec<usize> = (0..self.known.len()).filter(|at| self.known[*at].said.is_none()).collect();
        (!open.is_empty()).then(|| open[index.index(open.len())])
    }

    async fn settle(&mut self, index: &Index, said: Said) {
        let Some(at) = self.pick(index) else { return };
        self.known[at].said = Some(said);
        self.say(at).await;
    }

    async fn say(&self, at: usize) {
        let known = &self.known[at];
        let (worker, id) = (&self.workers[known.worker], known.claim.id.clone());
        match known.said.as_ref().expect("something was said") {
            Said::Finished(outcome) => drop(self.fixture.finish(worker, &known.claim, *outcome).await),
            Said::Deferred(delay) => {
                let item = Defer { id, fence: known.claim.fence, delay: *delay, left: Settled::default() };
                self.fixture.store.defer(&self.fixture.queue, worker, &[item]).await.expect("an answer");
            }
        }
    }

    async fn put_in(&self, index: u64) {
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

    async fn put_all_in_again(&self) {
        for index in 0..self.jobs {
            self.put_in(index).await;
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
                    state: match known.said {
                        None => KnownState::Held,
                        Some(Said::Finished(Outcome::Sent)) => KnownState::Sent,
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
            if self.known[at].said.is_some() {
                self.say(at).await;
            }
        }
        self.speak(worker, run).await;
    }

    async fn speak(&self, worker: usize, run: &RunId) {
        let store = &self.fixture.store;
        store.complete_restate(&self.fixture.queue, &self.workers[worker], run).await.expect("spoken");
    }

    async fn states(&self) -> BTreeMap<JobId, JobState> {
        let ids: Vec<JobId> = (0..self.jobs).map(|index| self.batch.job(index)).collect();
        let reports = self.fixture.store.jobs(&ids).await.expect("an answer");
        ids.into_iter().zip(reports).map(|(id, report)| (id, report.expect("a job").state)).collect()
    }

    /// What is being sent keeps its mark: without it, a lost worker would be believed not to have begun.
    fn check_marks(&self, states: &BTreeMap<JobId, JobState>) {
        let held =
            self.known.iter().filter(|known| known.said.is_none() && states[&known.claim.id] == JobState::Sending);
        for known in held {
            let mark = self.fixture.raw("HEXISTS", &format!("h:{}", known.claim.id.short()), &["begun_ms"]);
            assert_eq!(mark == "1", known.begun, "{}", known.claim.id);
        }
    }

    async fn check_counters(&self, states: &BTreeMap<JobId, JobState>) {
        let queue = self.fixture.store.queue(&self.fixture.queue).await.expect("a queue");
        let count = |state| states.values().filter(|other| **other == state).count() as u64;
        use JobState::{Cancelled, Deferred, Failed, Queued, Scheduled, Sending, Sent, Unknown};
        let told = [queue.scheduled, queue.queued, queue.sending, queue.deferred, queue.unknown];
        assert_eq!(told, [Scheduled, Queued, Sending, Deferred, Unknown].map(count));
        if self.jobs == 0 {
            return;
        }
        let batch = self.fixture.store.batch(&self.batch).await.expect("an answer").expect("a batch");
        let told = [batch.queued, batch.sending, batch.deferred, batch.sent, batch.failed, batch.cancelled];
        assert_eq!(told, [Queued, Sending, Deferred, Sent, Failed, Cancelled].map(count));
        assert_eq!(batch.total, self.jobs);
    }
}

/// As a worker keeps it: of what was sent, the header alone.
fn stored(known: &Knowledge) -> String {
    match known.said {
        Some(Said::Finished(Outcome::Sent)) => {
            format!("{}\n{{}}", known.claim.payload.lines().next().expect("a header"))
        }
        _ => known.claim.payload.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_lost_moment_is_made_good(
        before in prop::collection::vec(op(), 0..25),
        after in prop::collection::vec(op(), 0..25),
        order in Just(vec![0, 1, 2, 3]).prop_shuffle(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut run = Run::new().await;
            for op in &before {
                run.apply(op).await;
            }
            remember(&run.fixture);
            for op in &after {
                run.apply(op).await;
            }
            let states = run.states().await;
            forget(&run.fixture);
            for who in order {
                match who {
                    worker if worker < WORKERS => run.restate(worker, &"run-2".into()).await,
                    _ => run.put_all_in_again().await,
                }
            }
            assert_eq!(run.states().await, states, "all is as it was");
            run.check_counters(&states).await;
            run.check_marks(&states);
            let next = WorkerId::generate();
            let waiting = states.values().filter(|state| **state == JobState::Queued).count();
            assert_eq!(run.fixture.claim(&next, 200).await.len(), waiting, "what waits is handed out, once");
        });
    }
}

//! Redis forgets its last moments; what workers and whoever put mail in say again makes it whole.

use std::{collections::BTreeMap, time::Duration};

use postroom_core::{
    BatchId, JobId, JobState, Mail, OnUnknown,
    store::{
        BeginReply, Claim, ClaimId, ClaimReply, Claimed, FinishReply, JobTerms, KnownJob, NewBatch, NewJob, Outcome,
        RestateReply, RunId, Settled, WorkerId,
    },
};
use postroom_testkit::{PrivateRedis, eventually};
use proptest::{prelude::*, sample::Index};

use crate::fixture::{Fixture, mail, terms};

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
struct Known {
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
    known: Vec<Known>,
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
                    self.known.push(Known { worker: *worker, claim, begun: false, said: None });
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
                let item = (id, known.claim.fence, *delay, Settled::default());
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
                    held: known.said.is_none(),
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
        store.restated(&self.fixture.queue, &self.workers[worker], run).await.expect("spoken");
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
            let mark = self.fixture.raw("HEXISTS", &format!("h:{}", known.claim.id), &["begun_ms"]);
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

/// All of a fixture as it is now, kept aside.
fn remember(fixture: &Fixture) {
    copy(fixture, "0", "1");
}

/// Redis forgets what happened since.
fn forget(fixture: &Fixture) {
    copy(fixture, "1", "0");
}

fn copy(fixture: &Fixture, from: &str, to: &str) {
    let script = "local pattern = '{' .. ARGV[3] .. ':*'
        redis.call('SELECT', ARGV[2])
        for _, key in ipairs(redis.call('KEYS', pattern)) do redis.call('DEL', key) end
        redis.call('SELECT', ARGV[1])
        for _, key in ipairs(redis.call('KEYS', pattern)) do redis.call('COPY', key, key, 'DB', ARGV[2]) end";
    let told = PrivateRedis::shared().ask(&["EVAL", script, "0", from, to, &fixture.prefix]);
    assert!(!told.starts_with('-'), "{told}");
}

/// As a worker keeps it: of what was sent, the header alone.
fn stored(known: &Known) -> String {
    match known.said {
        Some(Said::Finished(Outcome::Sent)) => {
            format!("{}\n{{}}", known.claim.payload.lines().next().expect("a header"))
        }
        _ => known.claim.payload.to_string(),
    }
}

fn held_terms() -> JobTerms {
    let mut terms = terms();
    terms.policy.on_unknown = OnUnknown::Hold;
    terms
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

async fn claim(fixture: &Fixture, worker: &WorkerId) -> ClaimReply {
    let id = ClaimId::generate();
    let claim = Claim { queue: &fixture.queue, worker, id: &id, want: 1 };
    fixture.store.claim(&claim).await.expect("an answer")
}

#[tokio::test]
async fn claims_wait_for_those_who_were_alive() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let speak = async |worker: &WorkerId, run: &RunId| {
        fixture.store.restated(&fixture.queue, worker, run).await.expect("spoken")
    };
    assert_eq!(
        (speak(&ann, &"run-1".into()).await, speak(&ben, &"run-1".into()).await),
        (Duration::ZERO, Duration::ZERO)
    );
    fixture.sweep(&ann).await;
    fixture.sweep(&ben).await;
    fixture.enqueue(&terms()).await;
    assert!(speak(&ann, &"run-2".into()).await > Duration::ZERO);
    assert!(matches!(claim(&fixture, &ann).await, ClaimReply::Wait(_)), "Ben may hold it");
    assert_eq!(speak(&ben, &"run-2".into()).await, Duration::ZERO);
    assert!(matches!(claim(&fixture, &ann).await, ClaimReply::Jobs { jobs, .. } if jobs.len() == 1));
}

#[tokio::test]
async fn claims_do_not_wait_for_ever_for_a_worker_that_died() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    for worker in [&ann, &ben] {
        fixture.store.restated(&fixture.queue, worker, &"run-1".into()).await.expect("spoken");
        fixture.sweep(worker).await;
    }
    fixture.enqueue(&terms()).await;
    fixture.store.restated(&fixture.queue, &ann, &"run-2".into()).await.expect("spoken");
    eventually(Duration::from_secs(20), "a claim without Ben", async || {
        matches!(claim(&fixture, &ann).await, ClaimReply::Jobs { jobs, .. } if jobs.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_was_dead_before_is_not_waited_for() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    for worker in [&ann, &ben] {
        fixture.store.restated(&fixture.queue, worker, &"run-1".into()).await.expect("spoken");
    }
    let now_ms = fixture.sweep(&ann).await.now_ms;
    fixture.raw("HSET", "workers", &[ben.as_str(), &format!("{} run-1", now_ms - 60_000)]);
    fixture.enqueue(&terms()).await;
    assert_eq!(fixture.store.restated(&fixture.queue, &ann, &"run-2".into()).await.expect("spoken"), Duration::ZERO);
    assert!(matches!(claim(&fixture, &ann).await, ClaimReply::Jobs { jobs, .. } if jobs.len() == 1));
}

#[tokio::test]
async fn nothing_is_rescued_within_a_lease_of_a_restart() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    fixture.store.restated(&fixture.queue, &ann, &"run-1".into()).await.expect("spoken");
    let id = fixture.enqueue(&terms()).await;
    assert_eq!(fixture.claim(&ann, 1).await.len(), 1);
    fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
    fixture.store.restated(&fixture.queue, &ben, &"run-2".into()).await.expect("spoken");
    assert_eq!(fixture.sweep(&ben).await.rescued, 0);
    assert_eq!(fixture.state(&id).await, JobState::Sending);
}

#[tokio::test]
async fn a_stale_holder_is_told_that_the_job_is_no_longer_its() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let id = fixture.enqueue(&terms()).await;
    let stale = fixture.claim(&ann, 1).await.remove(0);
    fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
    assert_eq!(fixture.sweep(&ben).await.rescued, 1);
    let again = fixture.claim(&ben, 1).await.remove(0);
    assert_eq!(fixture.begin(&ben, &again).await, BeginReply::Begun);
    let known = KnownJob { id: &id, fence: stale.fence, held: true, begun: None, payload: &stale.payload };
    let replies = fixture.store.restate(&fixture.queue, &ann, &"run-2".into(), &[known]).await.expect("an answer");
    assert_eq!(replies, [RestateReply::Lost]);
    assert_eq!(fixture.begin(&ann, &stale).await, BeginReply::Lost);
    assert_eq!(fixture.finish(&ann, &stale, Outcome::Sent).await, FinishReply::Twice);
    assert_eq!(fixture.finish(&ben, &again, Outcome::Sent).await, FinishReply::Finished);
}

/// Ann's claim was forgotten, and a person cancelled the mail before she could say so.
#[tokio::test]
async fn what_has_ended_meanwhile_is_not_held_again() {
    let fixture = Fixture::new().await;
    let ann = WorkerId::generate();
    let id = fixture.enqueue(&terms()).await;
    remember(&fixture);
    let job = fixture.claim(&ann, 1).await.remove(0);
    forget(&fixture);
    fixture.store.cancel(&id, "person").await.expect("cancelled");
    let known = KnownJob { id: &id, fence: job.fence, held: true, begun: None, payload: &job.payload };
    let replies = fixture.store.restate(&fixture.queue, &ann, &"run-2".into(), &[known]).await.expect("an answer");
    assert_eq!(replies, [RestateReply::Lost]);
    assert_eq!(fixture.begin(&ann, &job).await, BeginReply::Ended);
    assert_eq!(fixture.state(&id).await, JobState::Cancelled);
}

/// Ann's claim was forgotten, she was too late to say so, and Ben got the same fence.
#[tokio::test]
async fn two_holders_of_one_fence_are_told_apart() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    fixture.enqueue(&terms()).await;
    remember(&fixture);
    let first = fixture.claim(&ann, 1).await.remove(0);
    assert_eq!(fixture.begin(&ann, &first).await, BeginReply::Begun);
    forget(&fixture);
    let second = fixture.claim(&ben, 1).await.remove(0);
    assert_eq!(fixture.begin(&ben, &second).await, BeginReply::Begun);
    assert_eq!(first.fence, second.fence);
    assert_eq!(fixture.finish(&ann, &first, Outcome::Failed).await, FinishReply::Lost);
    assert_eq!(fixture.finish(&ann, &first, Outcome::Sent).await, FinishReply::Twice);
    assert_eq!(fixture.finish(&ben, &second, Outcome::Sent).await, FinishReply::Finished);
}

#[tokio::test]
async fn a_late_250_keeps_another_worker_from_sending_it_again() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let id = fixture.enqueue(&terms()).await;
    let first = fixture.claim(&ann, 1).await.remove(0);
    fixture.begin(&ann, &first).await;
    fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
    assert_eq!(fixture.sweep(&ben).await.in_doubt, 1);
    // The policy of emails: sent again.
    let second = fixture.claim(&ben, 1).await.remove(0);
    assert_eq!(fixture.finish(&ann, &first, Outcome::Sent).await, FinishReply::Late);
    assert_eq!(fixture.begin(&ben, &second).await, BeginReply::Lost, "it need not be sent again");
    assert_eq!(fixture.state(&id).await, JobState::Sent);
}

#[tokio::test]
async fn a_job_in_doubt_is_queued_again_when_its_holder_says_that_nothing_was_sent() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let id = fixture.enqueue(&held_terms()).await;
    let claimed = fixture.claim(&ann, 1).await.remove(0);
    fixture.begin(&ann, &claimed).await;
    fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
    assert_eq!(fixture.sweep(&ben).await.in_doubt, 1);
    assert_eq!(fixture.state(&id).await, JobState::Unknown);
    let item = (id.clone(), claimed.fence, Duration::ZERO, Settled::default());
    fixture.store.defer(&fixture.queue, &ann, &[item]).await.expect("an answer");
    assert_eq!(fixture.state(&id).await, JobState::Queued);
}

#[tokio::test]
async fn a_job_that_takes_three_workers_down_is_set_aside() {
    let fixture = Fixture::new().await;
    let sweeper = WorkerId::generate();
    let (poison, innocent) = (fixture.enqueue(&terms()).await, fixture.enqueue(&terms()).await);
    for round in 1..=3 {
        let worker = WorkerId::generate();
        assert_eq!(fixture.claim(&worker, 1).await[0].id, poison, "round {round}");
        fixture.raw("HSET", "workers", &[worker.as_str(), "1 run-1"]);
        fixture.raw("ZADD", "leases", &["XX", "1", &poison.to_string()]);
        assert_eq!(fixture.sweep(&sweeper).await.rescued, 1);
    }
    let report = fixture.store.job(&poison).await.expect("an answer").expect("a job");
    assert_eq!((report.state, report.reason.as_deref()), (JobState::Failed, Some("poison")));
    assert_eq!(report.to, mail().to, "its content is kept");
    assert_eq!(fixture.claim(&sweeper, 2).await.len(), 1, "the rest goes on");
    assert_eq!(fixture.state(&innocent).await, JobState::Sending);
}

#[tokio::test]
async fn a_job_of_a_worker_that_lives_is_no_poison() {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    let id = fixture.enqueue(&terms()).await;
    for _ in 0..4 {
        assert_eq!(fixture.claim(&worker, 1).await.len(), 1);
        fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
        fixture.sweep(&worker).await;
    }
    assert_eq!(fixture.state(&id).await, JobState::Queued);
}

#[tokio::test]
async fn a_lease_from_a_clock_far_ahead_is_not_believed() {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    let id = fixture.enqueue(&terms()).await;
    assert_eq!(fixture.claim(&worker, 1).await.len(), 1);
    fixture.raw("ZADD", "leases", &["XX", "9999999999999", &id.to_string()]);
    assert_eq!(fixture.sweep(&worker).await.rescued, 1);
    assert_eq!(fixture.state(&id).await, JobState::Queued);
}

#[tokio::test]
async fn a_newer_job_with_a_lease_is_left_to_those_who_can_read_it() {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    let id = JobId::new(fixture.queue.clone());
    fixture
        .store
        .enqueue(&fixture.queue, None, &terms(), &[NewJob { id: id.clone(), mail: mail() }])
        .await
        .expect("in");
    assert_eq!(fixture.claim(&worker, 1).await.len(), 1);
    fixture.raw("SET", &format!("j:{id}"), &["2 from the future\n{}"]);
    fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
    fixture.sweep(&worker).await;
    let lease: f64 = fixture.raw("ZSCORE", "leases", &[&id.to_string()]).parse().expect("it keeps its lease");
    assert!(lease > 1.0, "and is looked at later");
}

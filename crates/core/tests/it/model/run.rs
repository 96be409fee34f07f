//! Each operation on the real queue and on the model, with the expected reply.

use std::collections::BTreeSet;

use postroom_core::{
    BatchId, JobId, JobState, OnUnknown, Priority,
    store::{
        BeginReply, CancelReply, ClaimId, Claimed, Defer, DeferReply, Due, Expiry, FinishReply, Outcome, Resolution,
        RetryReply, Settled, WorkerId,
    },
};
use proptest::sample::Index;

use super::{
    WORKERS,
    memory::{ClaimStatus, Model, ModelJob},
    operation::Op,
};
use crate::fixture::{Fixture, accepted, terms};

pub(super) struct ModelRun {
    pub(super) fixture: Fixture,
    pub(super) workers: Vec<WorkerId>,
    pub(super) batch: BatchId,
    pub(super) model: Model,
}

impl ModelRun {
    pub(super) async fn new() -> Self {
        let fixture = Fixture::new().await;
        let batch = fixture.create_batch().await;
        Self { fixture, workers: (0..WORKERS).map(|_| WorkerId::generate()).collect(), batch, model: Model::default() }
    }

    pub(super) async fn apply(&mut self, op: &Op) {
        match op {
            Op::Enqueue { priority, later, in_batch, on_unknown } => {
                self.enqueue(*priority, *later, *in_batch, *on_unknown).await;
            }
            Op::EnqueueRows(rows) => self.enqueue_rows(*rows).await,
            Op::EnqueueKnown(index) => self.enqueue_known(index).await,
            Op::Claim { worker, want } => self.claim(*worker, *want).await,
            Op::ClaimPastExpired { worker, want, priority, in_batch, behind } => {
                self.enqueue_expired(*priority, *in_batch).await;
                for _ in 0..*behind {
                    self.enqueue(*priority, false, *in_batch, 0).await;
                }
                self.claim(*worker, *want).await;
            }
            Op::RepeatClaim { worker } => self.repeat_claim(*worker).await,
            Op::SendRows { worker, rows, want } => {
                self.enqueue_rows(*rows).await;
                let known = self.model.claims.len();
                self.claim(*worker, *want).await;
                let claims: Vec<Claimed> = self.model.claims[known..].iter().map(|(_, claim)| claim.clone()).collect();
                self.begin(*worker, &claims).await;
                self.finish(*worker, &claims, Outcome::Sent, true).await;
            }
            Op::Begin(index, jobs) => {
                let (worker, claims) = self.model.pick_claims(index, *jobs);
                self.begin(worker, &claims).await;
            }
            Op::Finish { claim, jobs, outcome, has_attempt } => {
                let (worker, claims) = self.model.pick_claims(claim, *jobs);
                let outcomes = [Outcome::Sent, Outcome::Failed, Outcome::Unknown];
                let outcome = outcomes.get(usize::from(*outcome)).copied().unwrap_or(Outcome::Sent);
                self.finish(worker, &claims, outcome, *has_attempt).await;
            }
            Op::Defer(index, later) => self.defer(index, *later).await,
            Op::Renew(index) => self.renew(index).await,
            Op::ExpireLease(index) => self.expire_lease(index),
            Op::MakeDue(index) => self.make_due(index).await,
            Op::Cancel(index) => self.cancel(index).await,
            Op::CancelBatch => self.cancel_batch().await,
            Op::SealBatch => self.seal_batch().await,
            Op::Retry(index) => self.retry(index).await,
            Op::Resolve(index, resolution) => self.resolve(index, *resolution).await,
            Op::Pause(pause) => self.pause(*pause).await,
            Op::PauseBatch(pause) => self.pause_batch(*pause).await,
            Op::Sweep => self.sweep().await,
            Op::Prune => {
                self.fixture.store.prune(&self.fixture.queue).await.expect("pruned");
            }
        }
    }

    /// Enqueues a job that has expired. It is cancelled by the claim or the read that finds it.
    async fn enqueue_expired(&mut self, priority: u8, in_batch: bool) {
        let (id, in_batch) = self.new_id(in_batch);
        let mut terms = terms();
        terms.priority = Priority::try_from(priority).expect("a priority");
        terms.expires = Some(Expiry::At(1));
        self.fixture.enqueue_as(&id, in_batch.then_some(&self.batch), &terms).await;
        let job = ModelJob::new(JobState::Cancelled, priority, terms.policy.on_unknown, in_batch);
        self.model.jobs.insert(id, ModelJob { expired: true, ..job });
    }

    /// Returns the id of a new job, in the batch while that accepts jobs.
    fn new_id(&mut self, in_batch: bool) -> (JobId, bool) {
        let in_batch = in_batch && !self.model.batch_cancelled && !self.model.batch_sealed;
        if !in_batch {
            return (JobId::new(self.fixture.queue.clone()), false);
        }
        self.model.batch_jobs += 1;
        (self.batch.job(self.model.batch_jobs - 1), true)
    }

    async fn enqueue(&mut self, priority: u8, later: bool, in_batch: bool, on_unknown: u8) {
        let (id, in_batch) = self.new_id(in_batch);
        let on_unknown = [OnUnknown::Resend, OnUnknown::Hold, OnUnknown::Fail][usize::from(on_unknown)];
        let mut terms = terms();
        terms.priority = Priority::try_from(priority).expect("a priority");
        terms.policy.on_unknown = on_unknown;
        if later {
            terms.due = Due::In(std::time::Duration::from_secs(3_600));
        }
        self.fixture.enqueue_as(&id, in_batch.then_some(&self.batch), &terms).await;
        let state = if later { JobState::Scheduled } else { JobState::Queued };
        self.model.jobs.insert(id, ModelJob::new(state, priority, on_unknown, in_batch));
    }

    async fn enqueue_rows(&mut self, rows: u8) {
        for _ in 0..rows {
            self.enqueue(Priority::NORMAL.into(), false, true, 1).await;
        }
    }

    async fn enqueue_known(&mut self, index: &Index) {
        let Some(id) = self.model.pick_job(index) else { return };
        let job = postroom_core::store::NewJob { id, mail: crate::fixture::mail() };
        let done = self.fixture.store.enqueue(&self.fixture.queue, None, &terms(), &[job]).await.expect("a reply");
        assert_eq!((done.added, done.known), (0, 1), "a known id is left unchanged");
    }

    async fn claim(&mut self, worker: usize, want: usize) {
        let id = ClaimId::generate();
        let got = self.fixture.claim_as(&self.workers[worker], &id, want).await;
        self.model.last_claim[worker] = Some(id);
        let mut ready: Vec<u8> =
            self.model.jobs.values().filter(|job| self.model.is_ready(job)).map(|job| job.priority).collect();
        ready.sort_unstable();
        ready.truncate(want);
        let priorities: Vec<u8> = got.iter().map(|claim| self.model.jobs[&claim.id].priority).collect();
        assert_eq!(priorities, ready, "a claim gets ready jobs, the most urgent first");
        for claim in got {
            let job = self.model.job(&claim.id);
            assert_eq!(job.state, JobState::Queued, "only queued jobs are claimed");
            assert_eq!(claim.fence, job.fence + 1, "the fence rises by one at each claim");
            (job.state, job.fence, job.holder, job.begun) = (JobState::Sending, claim.fence, Some(worker), false);
            job.lease_ran_out = false;
            self.model.claims.push((worker, claim));
        }
    }

    async fn repeat_claim(&mut self, worker: usize) {
        let Some(id) = self.model.last_claim[worker].clone() else { return };
        let before: BTreeSet<(JobId, u64)> =
            self.model.claims.iter().map(|(_, claim)| (claim.id.clone(), claim.fence)).collect();
        for claim in self.fixture.claim_as(&self.workers[worker], &id, 3).await {
            if before.contains(&(claim.id.clone(), claim.fence)) {
                assert!(self.model.holds(worker, &claim), "a repeated claim returns only jobs that are still held");
                continue;
            }
            // The first call found no job, so there was no claim to repeat: this is a new claim.
            let job = self.model.job(&claim.id);
            assert_eq!((job.state, claim.fence), (JobState::Queued, job.fence + 1));
            (job.state, job.fence, job.holder, job.begun) = (JobState::Sending, claim.fence, Some(worker), false);
            job.lease_ran_out = false;
            self.model.claims.push((worker, claim));
        }
    }

    async fn begin(&mut self, worker: usize, claims: &[Claimed]) {
        let replies = self.fixture.begin_all(&self.workers[worker], claims).await;
        for (claim, reply) in claims.iter().zip(replies) {
            let holds = self.model.holds(worker, claim);
            let swept = self.model.batch_cancelled && self.model.jobs[&claim.id].in_batch;
            let job = self.model.job(&claim.id);
            let expected = match (holds, job.state) {
                (true, _) if swept => BeginReply::Ended,
                (true, _) => BeginReply::Begun,
                (false, JobState::Cancelled) => BeginReply::Ended,
                (false, _) => BeginReply::Lost,
            };
            assert_eq!(reply, expected, "{}", claim.id);
            if reply == BeginReply::Begun {
                job.begun = true;
                job.lease_ran_out = false;
            } else if holds {
                job.state = JobState::Cancelled;
            }
        }
    }

    async fn finish(&mut self, worker: usize, claims: &[Claimed], outcome: Outcome, has_attempt: bool) {
        let settled = if has_attempt { accepted() } else { Settled::default() };
        let replies = self.fixture.finish_all(&self.workers[worker], claims, outcome, &settled).await;
        for (claim, reply) in claims.iter().zip(replies) {
            let expected = self.model.reply_to_finish(worker, claim, outcome);
            assert_eq!(reply, expected, "{}", claim.id);
            let takes_effect = match reply {
                FinishReply::Finished => self.model.jobs[&claim.id].state == JobState::Sending,
                FinishReply::Late => true,
                FinishReply::Twice | FinishReply::Lost => false,
            };
            if !takes_effect {
                continue;
            }
            let job = self.model.job(&claim.id);
            job.settled = Some(job.fence);
            match outcome {
                Outcome::Sent => job.state = JobState::Sent,
                Outcome::Failed => job.state = JobState::Failed,
                Outcome::Unknown => self.model.apply_on_unknown(&claim.id),
            }
        }
    }

    async fn defer(&mut self, index: &Index, later: bool) {
        let Some((worker, claim)) = self.model.pick_claim(index) else { return };
        let delay = std::time::Duration::from_secs(if later { 3_600 } else { 0 });
        let item = Defer { id: claim.id.clone(), fence: claim.fence, delay, left: Settled::default() };
        let reply =
            self.fixture.store.defer(&self.fixture.queue, &self.workers[worker], &[item]).await.expect("a reply")[0];
        let job = &self.model.jobs[&claim.id];
        let is_superseded = self.model.claim_status(worker, &claim) == ClaimStatus::Superseded;
        if !is_superseded && job.settled == Some(claim.fence) {
            assert_eq!(reply, DeferReply::Deferred, "repeated");
            return;
        }
        if is_superseded || !self.model.is_unfinished(&claim.id) {
            assert_eq!(reply, DeferReply::Lost);
            return;
        }
        self.model.job(&claim.id).settled = Some(claim.fence);
        self.model.put_back(&claim.id, if later { JobState::Deferred } else { JobState::Queued });
        let expected = match self.model.jobs[&claim.id].state {
            JobState::Cancelled => DeferReply::Ended,
            JobState::Deferred => DeferReply::Deferred,
            _ => DeferReply::Queued,
        };
        assert_eq!(reply, expected);
    }

    async fn renew(&mut self, index: &Index) {
        let Some((worker, claim)) = self.model.pick_claim(index) else { return };
        let items = [(claim.id.clone(), claim.fence)];
        let lost = self.fixture.store.renew(&self.fixture.queue, &self.workers[worker], &items).await.expect("a reply");
        let holds = self.model.holds(worker, &claim);
        assert_eq!(lost.is_empty(), holds, "renew reports a lost job");
        if holds {
            self.model.job(&claim.id).lease_ran_out = false;
        }
    }

    fn expire_lease(&mut self, index: &Index) {
        let Some(id) = self.model.pick_job(index) else { return };
        let job = self.model.job(&id);
        if job.state == JobState::Sending {
            job.lease_ran_out = true;
            self.fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
        }
    }

    /// Makes a waiting job due, then sweeps.
    async fn make_due(&mut self, index: &Index) {
        let Some(id) = self.model.pick_job(index) else { return };
        let job = self.model.job(&id);
        let (state, priority) = (job.state, job.priority);
        if !matches!(state, JobState::Scheduled | JobState::Deferred) {
            return;
        }
        job.state = JobState::Queued;
        let class = ["urgent", "normal", "low"][match priority {
            0..=2 => 0,
            3..=6 => 1,
            _ => 2,
        }];
        self.fixture.raw("ZADD", &format!("{state}:{class}"), &["XX", "1", &id.to_string()]);
        self.sweep().await;
    }

    pub(super) async fn sweep(&mut self) {
        self.fixture.sweep(&WorkerId::generate()).await;
        let out: Vec<JobId> = self
            .model
            .jobs
            .iter()
            .filter(|(_, job)| job.state == JobState::Sending && job.lease_ran_out)
            .map(|(id, _)| id.clone())
            .collect();
        for id in out {
            if self.model.jobs[&id].begun {
                self.model.apply_on_unknown(&id);
            } else {
                self.model.put_back(&id, JobState::Queued);
            }
        }
    }

    async fn cancel(&mut self, index: &Index) {
        let Some(id) = self.model.pick_job(index) else { return };
        let reply = self.fixture.store.cancel(&id, "person").await.expect("a reply");
        let job = self.model.job(&id);
        let expected = match job.state {
            JobState::Cancelled => CancelReply::Already,
            JobState::Sent | JobState::Failed => CancelReply::Finished(job.state),
            JobState::Sending if job.begun => CancelReply::Begun,
            JobState::Unknown => CancelReply::InDoubt,
            _ => CancelReply::Cancelled,
        };
        assert_eq!(reply, expected);
        if reply == CancelReply::Cancelled {
            job.state = JobState::Cancelled;
        }
    }

    async fn cancel_batch(&mut self) {
        let reply = self.fixture.store.cancel_batch(&self.batch).await.expect("a reply");
        if self.model.batch_cancelled {
            assert_eq!(reply, None);
            return;
        }
        self.model.batch_cancelled = true;
        let mut cancelled = 0;
        for job in self.model.jobs.values_mut().filter(|job| job.in_batch) {
            if matches!(job.state, JobState::Scheduled | JobState::Queued | JobState::Deferred) {
                job.state = JobState::Cancelled;
                cancelled += 1;
            }
        }
        assert_eq!(reply, Some(cancelled), "all waiting jobs are cancelled at once");
    }

    async fn seal_batch(&mut self) {
        self.fixture.store.seal_batch(&self.batch, 0, 0).await.expect("sealed");
        self.model.batch_sealed = true;
    }

    async fn retry(&mut self, index: &Index) {
        let Some(id) = self.model.pick_job(index) else { return };
        let reply = self.fixture.store.retry(&id).await.expect("a reply");
        let batch_cancelled = self.model.batch_cancelled;
        let job = self.model.job(&id);
        let may =
            matches!(job.state, JobState::Failed | JobState::Cancelled | JobState::Deferred | JobState::Scheduled);
        if may && !(batch_cancelled && job.in_batch) && !job.expired {
            assert_eq!(reply, RetryReply::Queued);
            if matches!(job.state, JobState::Failed | JobState::Cancelled) {
                job.resends = 0;
            }
            (job.state, job.holder, job.begun) = (JobState::Queued, None, false);
        } else {
            assert!(matches!(reply, RetryReply::Refused { .. }), "{reply:?}");
        }
    }

    async fn resolve(&mut self, index: &Index, resolution: u8) {
        let Some(id) = self.model.pick_job(index) else { return };
        let resolution = [Resolution::Sent, Resolution::Resend, Resolution::Failed][usize::from(resolution)];
        let done = self.fixture.store.resolve(&id, resolution).await;
        if self.model.jobs[&id].state != JobState::Unknown {
            assert!(done.is_err(), "only jobs in apply_on_unknown are resolved");
            return;
        }
        let cancelled = self.model.batch_cancelled && self.model.jobs[&id].in_batch;
        if cancelled && resolution == Resolution::Resend {
            assert!(done.is_err(), "a job of a cancelled batch is not sent again");
            return;
        }
        done.expect("resolved");
        match resolution {
            Resolution::Sent => self.model.job(&id).state = JobState::Sent,
            Resolution::Failed => self.model.job(&id).state = JobState::Failed,
            Resolution::Resend => self.model.put_back(&id, JobState::Queued),
        }
    }

    async fn pause_batch(&mut self, pause: bool) {
        let store = &self.fixture.store;
        let changed = if pause { store.pause_batch(&self.batch).await } else { store.resume_batch(&self.batch).await };
        if self.model.batch_cancelled {
            assert!(changed.is_err(), "a cancelled batch is not paused or resumed");
            return;
        }
        assert_eq!(changed.expect("a reply"), self.model.batch_paused != pause);
        self.model.batch_paused = pause;
    }

    async fn pause(&mut self, pause: bool) {
        let store = &self.fixture.store;
        let changed =
            if pause { store.pause(&self.fixture.queue).await } else { store.resume(&self.fixture.queue).await };
        assert_eq!(changed.expect("a reply"), self.model.paused != pause);
        self.model.paused = pause;
    }
}

//! The expected state of the queue, in memory.

use std::collections::BTreeMap;

use postroom_core::{
    JobId, JobState, OnUnknown,
    store::{ClaimId, Claimed, FinishReply, Outcome},
};
use proptest::sample::Index;

use super::WORKERS;

#[derive(Debug, Clone)]
pub(super) struct ModelJob {
    pub(super) state: JobState,
    pub(super) priority: u8,
    pub(super) fence: u64,
    /// The holder or, for a finished job, the last holder.
    pub(super) holder: Option<usize>,
    pub(super) begun: bool,
    /// The fence of the last claim holder outcome was recorded.
    pub(super) settled: Option<u64>,
    pub(super) resends: u32,
    pub(super) on_unknown: OnUnknown,
    pub(super) in_batch: bool,
    pub(super) lease_ran_out: bool,
    pub(super) expired: bool,
}

/// Relation of a worker's claim to the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimStatus {
    Holder,
    LastHolder,
    Superseded,
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) jobs: BTreeMap<JobId, ModelJob>,
    /// Every claim ever made, including lost ones: (worker, claimed job).
    pub(super) claims: Vec<(usize, Claimed)>,
    pub(super) last_claim: [Option<ClaimId>; WORKERS],
    pub(super) paused: bool,
    pub(super) batch_paused: bool,
    pub(super) batch_cancelled: bool,
    pub(super) batch_sealed: bool,
    pub(super) batch_jobs: u64,
}

impl ModelJob {
    pub(super) fn new(state: JobState, priority: u8, on_unknown: OnUnknown, in_batch: bool) -> Self {
        Self {
            state,
            priority,
            fence: 0,
            holder: None,
            begun: false,
            settled: None,
            resends: 0,
            on_unknown,
            in_batch,
            lease_ran_out: false,
            expired: false,
        }
    }
}

impl Model {
    pub(super) fn job(&mut self, id: &JobId) -> &mut ModelJob {
        self.jobs.get_mut(id).expect("a job of the model")
    }

    pub(super) fn pick_job(&self, index: &Index) -> Option<JobId> {
        (!self.jobs.is_empty()).then(|| self.jobs.keys().nth(index.index(self.jobs.len())).expect("in range").clone())
    }

    pub(super) fn pick_claim(&self, index: &Index) -> Option<(usize, Claimed)> {
        (!self.claims.is_empty()).then(|| self.claims[index.index(self.claims.len())].clone())
    }

    /// Returns a claim and later ones of its worker, up to `most` in all.
    pub(super) fn pick_claims(&self, index: &Index, most: usize) -> (usize, Vec<Claimed>) {
        if self.claims.is_empty() {
            return (0, Vec::new());
        }
        let from = index.index(self.claims.len());
        let worker = self.claims[from].0;
        let of_worker = self.claims[from..].iter().filter(|(holder, _)| *holder == worker);
        (worker, of_worker.take(most).map(|(_, claim)| claim.clone()).collect())
    }

    pub(super) fn holds(&self, worker: usize, claim: &Claimed) -> bool {
        let job = &self.jobs[&claim.id];
        job.state == JobState::Sending && job.holder == Some(worker) && job.fence == claim.fence
    }

    /// Whether the job can be claimed.
    pub(super) fn is_ready(&self, job: &ModelJob) -> bool {
        job.state == JobState::Queued && !self.paused && !(job.in_batch && self.batch_paused)
    }

    pub(super) fn claim_status(&self, worker: usize, claim: &Claimed) -> ClaimStatus {
        let job = &self.jobs[&claim.id];
        if claim.fence < job.fence || job.holder.is_some_and(|holder| holder != worker) {
            ClaimStatus::Superseded
        } else if job.state == JobState::Sending {
            ClaimStatus::Holder
        } else {
            ClaimStatus::LastHolder
        }
    }

    /// Whether an attempt can still change the job's state.
    pub(super) fn is_unfinished(&self, id: &JobId) -> bool {
        !matches!(self.jobs[id].state, JobState::Sent | JobState::Failed | JobState::Cancelled)
    }

    pub(super) fn reply_to_finish(&self, worker: usize, claim: &Claimed, outcome: Outcome) -> FinishReply {
        let job = &self.jobs[&claim.id];
        let claim_status = self.claim_status(worker, claim);
        let is_superseded = claim_status == ClaimStatus::Superseded;
        match outcome {
            _ if !is_superseded && job.settled == Some(claim.fence) => FinishReply::Finished,
            Outcome::Failed | Outcome::Unknown if is_superseded || !self.is_unfinished(&claim.id) => FinishReply::Lost,
            Outcome::Unknown if claim_status == ClaimStatus::LastHolder => FinishReply::Finished,
            Outcome::Sent if job.state == JobState::Sent && !is_superseded => FinishReply::Finished,
            Outcome::Sent if job.state == JobState::Sent => FinishReply::Twice,
            Outcome::Sent if is_superseded && job.state == JobState::Sending && job.begun => FinishReply::Twice,
            _ if claim_status == ClaimStatus::Holder => FinishReply::Finished,
            _ => FinishReply::Late,
        }
    }

    pub(super) fn count(&self, state: JobState, in_batch: bool) -> u64 {
        self.jobs.values().filter(|job| job.state == state && (!in_batch || job.in_batch)).count() as u64
    }

    pub(super) fn apply_on_unknown(&mut self, id: &JobId) {
        let batch_cancelled = self.batch_cancelled;
        let job = self.job(id);
        let cancelled = batch_cancelled && job.in_batch;
        job.begun = false;
        job.state = match job.on_unknown {
            OnUnknown::Resend if job.resends == 0 && !cancelled => {
                job.resends = 1;
                JobState::Queued
            }
            OnUnknown::Fail => JobState::Failed,
            OnUnknown::Resend | OnUnknown::Hold => JobState::Unknown,
        };
        if job.state != JobState::Failed {
            job.holder = None;
        }
    }

    /// Puts a job back, or cancels it if its batch is cancelled.
    pub(super) fn put_back(&mut self, id: &JobId, state: JobState) {
        let cancelled = self.batch_cancelled;
        let job = self.job(id);
        job.begun = false;
        job.state = if cancelled && job.in_batch { JobState::Cancelled } else { state };
        if job.state != JobState::Cancelled {
            job.holder = None;
        }
    }
}

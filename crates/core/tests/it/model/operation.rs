//! Random operations on a queue.

use proptest::{prelude::*, sample::Index};

use super::WORKERS;

#[derive(Debug, Clone)]
pub(super) enum Op {
    Enqueue {
        priority: u8,
        later: bool,
        in_batch: bool,
        on_unknown: u8,
    },
    /// Rows of the batch, most of them with the same terms.
    EnqueueRows(u8),
    EnqueueKnown(Index),
    Claim {
        worker: usize,
        want: usize,
    },
    /// Claims from a list with an expired job in front of others.
    ClaimPastExpired {
        worker: usize,
        want: usize,
        priority: u8,
        in_batch: bool,
        behind: u8,
    },
    RepeatClaim {
        worker: usize,
    },
    /// Sends some rows from enqueue to finish without interruption, the most common case.
    SendRows {
        worker: usize,
        rows: u8,
        want: usize,
    },
    /// Begins several of one worker's claims, from this one on.
    Begin(Index, usize),
    Finish {
        claim: Index,
        jobs: usize,
        outcome: u8,
        /// Whether the outcome has an attempt to record.
        has_attempt: bool,
    },
    Defer(Index, bool),
    Renew(Index),
    ExpireLease(Index),
    MakeDue(Index),
    Cancel(Index),
    CancelBatch,
    SealBatch,
    Retry(Index),
    Resolve(Index, u8),
    Pause(bool),
    PauseBatch(bool),
    Sweep,
    Prune,
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let index = any::<Index>;
    prop_oneof![
        6 => (0..10_u8, prop::bool::weighted(0.3), any::<bool>(), 0..3_u8)
            .prop_map(|(priority, later, in_batch, on_unknown)| Op::Enqueue { priority, later, in_batch, on_unknown }),
        4 => (1..6_u8).prop_map(Op::EnqueueRows),
        1 => index().prop_map(Op::EnqueueKnown),
        6 => (0..WORKERS, 1..7_usize).prop_map(|(worker, want)| Op::Claim { worker, want }),
        2 => (0..WORKERS, 1..4_usize, 0..10_u8, any::<bool>(), 0..4_u8)
            .prop_map(|(worker, want, priority, in_batch, behind)| {
                Op::ClaimPastExpired { worker, want, priority, in_batch, behind }
            }),
        1 => (0..WORKERS).prop_map(|worker| Op::RepeatClaim { worker }),
        2 => (0..WORKERS, 1..6_u8, 1..7_usize).prop_map(|(worker, rows, want)| Op::SendRows { worker, rows, want }),
        6 => (index(), 1..6_usize).prop_map(|(claim, jobs)| Op::Begin(claim, jobs)),
        6 => (index(), 1..6_usize, 0..5_u8, any::<bool>())
            .prop_map(|(claim, jobs, outcome, has_attempt)| Op::Finish { claim, jobs, outcome, has_attempt }),
        3 => (index(), any::<bool>()).prop_map(|(claim, later)| Op::Defer(claim, later)),
        2 => index().prop_map(Op::Renew),
        3 => index().prop_map(Op::ExpireLease),
        3 => index().prop_map(Op::MakeDue),
        2 => index().prop_map(Op::Cancel),
        1 => Just(Op::CancelBatch),
        1 => Just(Op::SealBatch),
        2 => index().prop_map(Op::Retry),
        2 => (index(), 0..3_u8).prop_map(|(job, resolution)| Op::Resolve(job, resolution)),
        1 => any::<bool>().prop_map(Op::Pause),
        2 => any::<bool>().prop_map(Op::PauseBatch),
        2 => Just(Op::Sweep),
        1 => Just(Op::Prune),
    ]
}

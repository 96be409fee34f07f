//! Jobs: enqueue, claim, settle, resync, actions of a person, reports and lists.
//!
//! Uses scripts. Batches and schedules build on it.

mod actions;
mod claim;
mod contents;
mod enqueue;
mod idempotency;
mod list;
mod report;
mod restate;
mod sent;
mod settle;

pub use actions::{CancelReply, Resolution, RetryReply};
pub use claim::{Claim, ClaimId, ClaimReply, Claimed, LimitedLine, LineGrant, Peek};
pub use enqueue::{Due, EnqueueRequest, Enqueued, Expiry, JobTerms, NewJob, PackedJob};
pub use idempotency::KeyReservation;
pub use list::{JobFilter, JobPage};
pub use report::{JobError, JobReport};
pub use restate::{KnownJob, KnownState, RestateReply};
pub use settle::{Begin, BeginReply, Defer, DeferReply, Finish, FinishReply, Outcome, Settled};

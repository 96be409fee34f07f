//! The job store: the only module that talks to Redis.
//!
//! A [`Store`] is cheap to clone. All clones share one pipelined connection.

mod actions;
mod batches;
mod captured;
mod captured_summary;
mod claim;
mod connection;
mod connections;
mod contents;
mod damage;
mod durability;
mod enqueue;
mod idempotency;
mod info;
mod jobs;
mod keys;
mod limit_states;
mod limits;
mod list;
mod maintenance;
mod notices;
mod processes;
mod queues;
mod redis_error;
mod reply;
mod restate;
#[cfg(test)]
mod rights;
mod rounds;
mod run;
mod schedules;
mod script;
mod sent;
mod sentinel;
mod server;
mod server_info;
mod sessions;
mod settle;
mod shared_connection;
mod wake_listener;

pub use batches::{BatchReport, NewBatch};
pub use captured::{Captured, CapturedMail};
pub use captured_summary::CapturedSummary;
pub use claim::{Claim, ClaimId, ClaimReply, Claimed, LimitedLine, LineGrant, Peek, WorkerId};
pub use connection::Store;
pub use connections::{ConnectionDemand, ConnectionShare};
pub use damage::Damage;
pub use enqueue::{Due, EnqueueRequest, Enqueued, Expiry, JobTerms, NewJob, PackedJob};
pub use find::{JobFilter, JobPage};
pub use idempotency::KeyReservation;
pub use jobs::{AttemptReport, JobError, JobReport};
pub use limit_states::{LimitState, QuotaState};
pub use limits::{Grant, LimitName, Measure, ServerFeedback, TakeReply};
pub use maintenance::SweepReply;
pub use notices::{DueNotice, Notice};
pub use processes::{Alert, BusyJob, ProcessInfo, ProcessKind, TransportReport, TransportState};
pub use queues::{Minute, QueueReport};
pub use restate::{KnownJob, KnownState, RestateReply};
pub use rounds::Durability;
pub use run::RunId;
pub use schedules::{DueSchedules, Firing, FiringId, PutReply, Schedule, ScheduleReport, TickReply};
pub use server_info::ServerInfo;
pub use settle::{BeginReply, DeferReply, Finish, FinishReply, Outcome, Settled};
pub use steer::{CancelReply, Resolution, RetryReply};
pub use wake_listener::WakeListener;

/// Protocol version of this process; see `crates/core/README.md`.
pub const PROTOCOL_VERSION: u32 = 1;

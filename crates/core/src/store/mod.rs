//! The job store: the only module that talks to Redis.
//!
//! A [`Store`] is cheap to clone. All clones share one pipelined connection.
//!
//! Folders use only those above them in this list:
//!
//! | folder | owns |
//! | --- | --- |
//! | `connection` | the connection, resync state, durability |
//! | `script` | Lua scripts, their calls, arguments and replies |
//! | `job`, `batch`, `limit`, `process`, `capture` | one subject each |
//! | `queue` | depths and counters, maintenance, damage |
//! | `schedule` | schedules and their firings |

mod batch;
mod capture;
mod connection;
mod job;
mod keys;
mod limit;
mod process;
mod queue;
mod schedule;
mod script;

pub use batch::{BatchReport, DueNotice, NewBatch, Notice};
pub use capture::{Captured, CapturedMail, CapturedSummary};
pub use connection::{Durability, LazyStore, RunId, ServerInfo, Store, WakeListener};
pub use job::{
    Begin, BeginReply, CancelReply, Claim, ClaimId, ClaimReply, Claimed, Defer, DeferReply, Due, EnqueueRequest,
    Enqueued, Expiry, Finish, FinishReply, JobError, JobFilter, JobPage, JobReport, JobTerms, KeyReservation, KnownJob,
    KnownState, LimitedLine, LineGrant, NewJob, Outcome, PackedJob, Peek, Resolution, RestateReply, RetryReply,
    Settled,
};
pub use limit::{ConnectionDemand, ConnectionShare, Grant, LimitState, QuotaState, ServerFeedback, TakeReply};
pub use process::{Alert, BusyJob, Heartbeat, ProcessInfo, ProcessKind, TransportReport, TransportState};
pub use queue::{Damage, Minute, QueueReport, SweepReply};
pub use schedule::{DueSchedules, Firing, FiringId, PutReply, Schedule, ScheduleReport, TickReply};
pub use script::PROTOCOL_VERSION;

pub use crate::{LimitName, Measure, WorkerId};

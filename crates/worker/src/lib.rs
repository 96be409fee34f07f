//! The worker claims mail, renders it, sends it and settles its job.
//!
//! The claimer takes as many jobs as there are free slots. Each job runs as a task of its own
//! through the steps of a delivery: render, compose, begin, send, judge, settle. Begin, finish and
//! defer go through one settler per queue, which sends what has gathered in one script call.
//!
//! Mail leaves by an outlet: a transport and its circuit breaker. While all outlets of a queue are
//! closed, nothing is claimed from it.

mod adaptive_concurrency;
mod alerts;
mod args;
mod claimer;
mod delivery;
mod duties;
mod in_flight;
mod lease_clock;
mod notices;
mod permits;
mod redis_access;
mod rendering;
mod resync;
mod run;
mod send_stats;
mod settler;
mod signals;
mod transports;
mod worker;

pub use args::Args;
pub use run::run;

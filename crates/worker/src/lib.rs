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
mod allowance;
mod args;
mod batch_content;
mod breaker;
mod capture;
mod claimer;
mod connections;
mod contents;
mod delivery;
mod duties;
mod in_flight;
mod judge;
mod lease_clock;
mod masked;
mod notices;
mod outlet;
mod panics;
mod permits;
mod rate_window;
mod replay_log;
mod resync;
mod route;
mod run;
mod send_stats;
mod settler;
mod slots;
mod webhooks;
mod worker;

pub use args::Args;
pub use run::run;

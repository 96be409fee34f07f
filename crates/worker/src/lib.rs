//! The worker: claims mail, renders it, delivers it and settles what became of it.
//!
//! One loop ([`claimer`](crate)) takes as many jobs as there are free slots. Each runs as a task of its own through the
//! steps of a delivery: render, compose, begin, send, judge, settle. Begin, finish and defer go through one settler for
//! each queue, which puts what has gathered into one script call.
//!
//! Mail leaves by outlets: a transport and its breaker. Where none of a queue's is open, nothing is claimed from it.

mod alerts;
mod args;
mod breaker;
mod claimer;
mod contents;
mod counter;
mod delivery;
mod duties;
mod following;
mod in_flight;
mod judge;
mod lease_clock;
mod leave;
mod limits;
mod making;
mod masked;
mod memory;
mod notices;
mod office;
mod outlet;
mod panics;
mod pulse;
mod recent;
mod restating;
mod seats;
mod settler;
mod shared_content;
mod slots;
mod webhooks;
mod worker;

pub use args::Args;
pub use worker::run;

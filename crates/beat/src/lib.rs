//! Enqueues scheduled mail when it is due.
//!
//! Any number of beats may run, without a leader or a lock. Each [`Beat`] decides due firings by
//! compare-and-set in Redis, then enqueues what any beat decided. If a beat is killed in between,
//! its decisions remain in an outbox. The next pass of another beat enqueues them.

mod args;
mod beat;
mod beat_loop;
mod mail_check;
mod run;

pub use args::Args;
pub use beat::{Beat, BeatReport};
pub use run::run;

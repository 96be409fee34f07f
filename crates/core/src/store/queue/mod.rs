//! Queues: depths and counters, periodic maintenance, damaged records.
//!
//! Uses scripts and the reports of processes.

mod damage;
mod maintenance;
mod queues;

pub use damage::Damage;
pub use maintenance::SweepReply;
pub use queues::{Minute, QueueReport};

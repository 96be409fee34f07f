//! Batches: the jobs of one bulk request, and notifications about their end.
//!
//! Uses scripts.

mod batches;
mod notices;

pub use batches::{BatchReport, NewBatch};
pub use notices::{DueNotice, Notice};

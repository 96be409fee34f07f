//! Schedules: mail sent at given times.
//!
//! All data is under `{prefix:system}`. Beats move a schedule's cursor by compare-and-set. The same
//! script writes the firing to an outbox. Any process empties the outbox by enqueueing under an id
//! derived from schedule and time.
//!
//! Uses scripts, jobs and batches.

mod definition;
mod field;
mod firing;
mod firing_id;
mod report;
mod schedules;
mod stored;

pub use firing::Firing;
pub use firing_id::FiringId;
pub use report::ScheduleReport;
pub use schedules::{DueSchedules, PutReply, TickReply};
pub use stored::Schedule;

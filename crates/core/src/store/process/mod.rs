//! Running processes and logins to the monitor.
//!
//! Uses scripts.

mod heartbeat;
mod processes;
mod sessions;

pub use heartbeat::Heartbeat;
pub(in crate::store) use processes::is_readable;
pub use processes::{Alert, BusyJob, ProcessInfo, ProcessKind, TransportReport, TransportState};

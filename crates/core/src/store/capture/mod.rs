//! Mail stored by the `capture` transport, for the dashboard.
//!
//! Uses scripts.

mod captured;
mod mail;
mod summary;

pub use mail::{Captured, CapturedMail};
pub use summary::CapturedSummary;

//! Limits shared by all workers: grants to send, connection permits, and their current state.
//!
//! Uses scripts and the settings.

mod connections;
mod grants;
mod states;

pub use connections::{ConnectionDemand, ConnectionShare};
pub use grants::{Grant, ServerFeedback, TakeReply};
pub use states::{LimitState, QuotaState};

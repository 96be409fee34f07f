//! Lua scripts: their sources, how they are assembled and called, their arguments and replies.
//!
//! Scripts are called on the [connection](super::connection). No other folder is used here.

mod args;
mod assembly;
mod call;
mod reply;
#[cfg(test)]
mod rights;
mod sources;

pub(in crate::store) use args::Args;
pub use call::PROTOCOL_VERSION;
pub(in crate::store) use reply::{Fields, LossyText, ReplyWords, unexpected};
pub(in crate::store) use sources::Script;

/// Maximum number of jobs that one script call examines. It limits the time for which Redis is
/// blocked.
pub(in crate::store) const BUDGET: usize = 200;

//! Turns schedules into mail when they are due.
//!
//! Any number of beats may run: there is no leader and no lock. Each [`Beat`] looks at what the clock asks for, decides
//! it by compare-and-set in Redis, and hands over what was decided, by whomever. A beat that is killed in between leaves
//! the decision in an outbox, and the next one that looks hands it over.

mod args;
mod beat;
mod clock;
mod run;

pub use args::Args;
pub use beat::{Beat, Turn};
pub use run::run;

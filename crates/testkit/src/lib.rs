//! For Postroom's tests only: a private Redis ([`PrivateRedis`]), an SMTP server that fails on purpose ([`FakeSmtp`]),
//! our own programs as child processes ([`Process`]) and a patient question ([`eventually`]).
//!
//! Everything here panics instead of returning errors: a test that can't have its surroundings has failed. Nothing
//! outlives the test process, however it ends.

mod bin;
mod eventually;
mod port;
mod process;
mod redis;
pub mod smtp;
mod watchdog;

pub use bin::target_bin;
pub use eventually::eventually;
pub use process::Process;
pub use redis::{PrivateRedis, unique_prefix};
pub use smtp::{Action, FakeSmtp, Fault, Phase, Received, Target, TlsMode};

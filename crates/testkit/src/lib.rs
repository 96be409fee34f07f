//! For Postroom's tests only: a private Redis ([`PrivateRedis`]) with replicas and a [`Sentinel`], a network that can be
//! bad ([`Proxy`]), TLS in front of a server ([`TlsProxy`]), servers that fail on purpose ([`FakeSmtp`], [`FakeResend`],
//! [`FakeReceiver`]), our own programs as child processes ([`Process`]), clients that never finish a request
//! ([`SlowClients`]), a clock to set for either ([`FakeClock`]) and a patient question ([`eventually`]).
//!
//! Everything here panics instead of returning errors: a test that can't have its surroundings has failed. Nothing
//! outlives the test process, however it ends.

mod bin;
mod eventually;
mod faketime;
pub mod fuzz;
pub mod hostile;
mod http;
mod port;
mod process;
mod proxy;
mod receiver;
mod redis;
pub mod resend;
mod slow_clients;
pub mod smtp;
mod tls_proxy;
mod watchdog;

pub use bin::{target_bin, target_example};
pub use eventually::eventually;
pub use faketime::FakeClock;
pub use process::Process;
pub use proxy::Proxy;
pub use receiver::{FakeReceiver, Told};
pub use redis::{PrivateRedis, PrivateRedisBuilder, Sentinel, unique_prefix};
pub use resend::FakeResend;
pub use slow_clients::{SlowClients, latencies, p99};
pub use smtp::{Action, FakeSmtp, Fault, FaultPhase as Phase, FaultTarget, Received, TlsMode};
pub use tls_proxy::TlsProxy;

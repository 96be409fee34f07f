//! Test support for Postroom's crates.
//!
//! - Redis: [`PrivateRedis`] with replicas, and [`Sentinel`]
//! - Network: [`Proxy`] delays, drops or resets connections; [`TlsProxy`] adds TLS to a server
//! - Servers with fault injection: [`FakeSmtp`], [`FakeResend`], [`FakeReceiver`]
//! - Postroom's programs as child processes: [`Process`]
//! - Clients that never finish a request: [`SlowClients`]
//! - An adjustable clock for child processes: [`FakeClock`]
//! - Polling until a condition holds: [`eventually`]
//!
//! Failures panic instead of returning errors, because a test without its surroundings has failed.
//! Nothing outlives the test process, even if it is killed.

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
pub use receiver::{FakeReceiver, ReceivedRequest};
pub use redis::{PrivateRedis, PrivateRedisBuilder, Sentinel, unique_prefix};
pub use resend::FakeResend;
pub use slow_clients::{SlowClients, latencies, p99};
pub use smtp::{Action, CertificateKind, FakeSmtp, FakeSmtpBuilder, Fault, FaultPhase, FaultTarget, Received, TlsMode};
pub use tls_proxy::TlsProxy;

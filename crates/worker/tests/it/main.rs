//! Tests of the worker as a process, between a real Redis and a server that fails on purpose.

#![expect(clippy::expect_used, reason = "a test may fail loudly")]

mod about_us;
mod connection_limits;
mod endings;
mod fallback;
mod files;
mod fixture;
mod hostile;
mod limits;
mod logs;
mod notices;
mod outages;
mod outcomes;
mod refused;
mod rendering;
mod resend;
mod retries;
mod sender;
mod server_faults;
mod sigterm;
mod stalls;
mod start;
mod throttling;
mod transport_down;
mod versions;
mod webhooks;

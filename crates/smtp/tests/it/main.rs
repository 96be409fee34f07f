//! Tests of sessions and pools against a fake server with injected faults.

mod ahead;
mod commit;
mod connect;
mod faults;
mod limits;
mod login;
mod pool;
mod scripted;
mod send;
mod session_limits;
mod support;

//! Sessions and pools against a server that fails on purpose.

mod ahead;
mod commit;
mod connect;
mod faults;
mod limits;
mod pool;
mod scripted;
mod send;
mod support;

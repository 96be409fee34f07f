//! The testkit's own tests: what others rely on must itself be seen to work.

mod client;
mod clock;
mod loss;
mod process;
mod proxy;
mod redis;
mod smtp;
mod smtp_faults;

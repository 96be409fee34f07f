//! Tests of the testkit itself.

mod client;
mod clock;
mod loss;
mod process;
mod proxy;
mod redis;
mod smtp;
mod smtp_faults;

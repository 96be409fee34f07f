//! Tests of the store and its scripts with a real Redis.

#![expect(clippy::expect_used, reason = "a test may fail loudly")]

mod claim_limits;
mod clocks;
mod contents;
mod damaged;
mod durability;
mod fast_paths;
mod fixture;
mod full;
mod health;
mod life;
mod limits;
mod lines;
mod link;
mod lua;
mod model;
mod notices;
mod reading;
mod resync;
mod rights;
mod sent_record;
mod sentinel;
mod tls;

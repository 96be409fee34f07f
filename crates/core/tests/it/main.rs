//! The store, against a real Redis.

#![expect(clippy::expect_used, reason = "a test may fail loudly")]

mod clocks;
mod contents;
mod damaged;
mod durability;
mod fixture;
mod full;
mod health;
mod kept;
mod life;
mod limited;
mod limits;
mod lines;
mod link;
mod model;
mod notices;
mod reading;
mod restating;
mod rights;
mod sentinel;
mod tls;

//! Tests of the monitor over HTTP, on a private Redis with data as workers store it.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod actions;
mod api;
mod browser;
mod captured;
mod fixture;
mod outage;
mod pages;
mod password;
mod preview;
mod process;
mod slow_clients;
mod worker;

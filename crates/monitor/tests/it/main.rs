//! The monitor over real HTTP, on a private Redis, with data put in as workers would.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod acts;
mod api;
mod browser;
mod captured;
mod outage;
mod pages;
mod password;
mod preview;
mod process;
mod site;
mod slow_clients;
mod worker;

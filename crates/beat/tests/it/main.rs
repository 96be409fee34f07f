//! Tests of one and of several beats, each against a private key prefix or Redis.

mod enqueueing;
mod fixture;

mod outages;
mod process;
mod schedules;
mod several;
mod tick;

//! Beats, alone and several, against a Redis of their own.

mod fixture;
mod handing_over;
mod outages;
mod process;
mod schedules;
mod several;
mod tick;

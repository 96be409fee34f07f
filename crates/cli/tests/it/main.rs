//! Tests of the command line as a person or a script uses it.

mod actions;
mod bad_input;
mod bulk;
mod durability;
mod fixture;
mod help;
mod hostile;
mod limits;
mod outage;
mod rows;
mod schedule;
mod send;
mod set_ups;
mod sync;
mod worker;

//! Tests of the command line as a person or a script uses it.

mod actions;
mod addresses;
mod bad_input;
mod bulk;
mod columns;
mod csv;
mod durability;
mod fixture;
mod help;
mod hostile;
mod limits;
mod messages;
mod outage;
mod rows;
mod schedule;
mod send;
mod set_ups;
mod sync;
mod worker;

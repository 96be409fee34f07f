//! The ways into Postroom: the command line as a person or a script uses it, and the library.

mod bad_input;
mod bulk;
mod desk;
mod help;
mod hostile;
mod kept;
mod library;
mod limits;
mod outage;
mod rows;
mod schedule;
mod send;
mod steer;
mod sync;
mod worker;

use desk::Desk;

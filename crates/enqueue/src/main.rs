//! The command line of Postroom.

use std::process::ExitCode;

fn main() -> ExitCode {
    postroom_enqueue::commands::run()
}

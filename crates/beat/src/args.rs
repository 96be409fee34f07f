//! The command line.

use clap::Parser;
use postroom_core::settings::{Variable, variables};

/// Sends the mail of the schedules in postroom.toml when it is due. Any number may run beside each other.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "postroom-beat",
    version,
    after_help = "A schedule in postroom.toml:\n  [[schedule]]\n  name = \"daily-report\"\n  cron = \"0 8 * * *\"\n  \
                  timezone = \"Europe/Warsaw\"\n  template = \"report\"\n  to = [\"ann@example.org\"]\n\n\
                  SIGHUP makes it read postroom.toml again; SIGTERM ends it."
)]
pub struct Args {
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Args {
    /// What was given, as settings.
    #[must_use]
    pub fn flags(&self) -> Vec<(Variable, String)> {
        self.log_level.iter().map(|level| (variables::LOG_LEVEL, level.clone())).collect()
    }
}

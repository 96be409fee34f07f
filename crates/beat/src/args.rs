//! Command line.

use clap::Parser;
use postroom_core::settings::{Variable, variables};

/// Enqueue the mail of schedules in postroom.toml when due; any number of instances may run
#[derive(Debug, Clone, Parser)]
#[command(
    name = "postroom-beat",
    version,
    after_help = "A schedule in postroom.toml:\n  [[schedule]]\n  name = \"daily-report\"\n  cron = \"0 8 * * *\"\n  \
                  timezone = \"Europe/Warsaw\"\n  template = \"report\"\n  to = [\"ann@example.org\"]\n\n\
                  SIGHUP reloads postroom.toml; SIGTERM stops the process."
)]
pub struct Args {
    /// Lowest level that is logged: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Args {
    /// Returns the given flags as settings.
    #[must_use]
    pub fn flags(&self) -> Vec<(Variable, String)> {
        self.log_level.iter().map(|level| (variables::LOG_LEVEL, level.clone())).collect()
    }
}

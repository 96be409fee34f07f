//! Command-line arguments.

use clap::Parser;
use postroom_core::settings::{Variable, variables};

/// Send the mail of the served queues. Flags come before the environment, `.env` and
/// `postroom.toml`.
#[derive(Debug, Parser)]
#[command(
    name = "postroom-worker",
    version,
    after_help = "Examples:\n  \
        SMTP_HOST=mail.example.org postroom-worker\n  \
        MAIL_TRANSPORT=capture postroom-worker --queues emails\n  \
        postroom-worker --queues emails:5,bulk:1 --concurrency 16"
)]
pub struct Args {
    /// Queues to serve, in order: `emails,bulk`; with weights they share the slots:
    /// `emails:5,bulk:1`
    #[arg(long, value_name = "QUEUES")]
    queues: Option<String>,
    /// Mails to send at a time: `16`, or a range that adapts to the servers: `3-10`
    #[arg(long, value_name = "N")]
    concurrency: Option<String>,
    /// Log level: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Args {
    /// Returns the given flags as settings.
    #[must_use]
    pub fn flags(self) -> Vec<(Variable, String)> {
        let flags = [
            (variables::QUEUES, self.queues),
            (variables::CONCURRENCY, self.concurrency),
            (variables::LOG_LEVEL, self.log_level),
        ];
        flags.into_iter().filter_map(|(variable, value)| Some((variable, value?))).collect()
    }
}

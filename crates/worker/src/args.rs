//! The command line.

use clap::Parser;
use postroom_core::settings::{Variable, variables};

/// Sends the mail of its queues. Set up by the environment, `.env` and `postroom.toml`; flags come first.
#[derive(Debug, Parser)]
#[command(
    name = "postroom-worker",
    version,
    after_help = "Examples:\n  SMTP_HOST=mail.example.org postroom-worker\n  MAIL_TRANSPORT=capture postroom-worker --queues emails\n  postroom-worker --queues emails:5,bulk:1 --concurrency 16"
)]
pub struct Args {
    /// The queues to serve, the first one first; with weights they share the slots instead: `emails:5,bulk:1`
    #[arg(long, value_name = "QUEUES")]
    queues: Option<String>,
    /// How many mails to send at a time: `16`, or at least and at most: `3-10`
    #[arg(long, value_name = "N")]
    concurrency: Option<String>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Args {
    /// What was given, as settings.
    #[must_use]
    pub fn flags(self) -> Vec<(Variable, String)> {
        let given = [
            (variables::QUEUES, self.queues),
            (variables::CONCURRENCY, self.concurrency),
            (variables::LOG_LEVEL, self.log_level),
        ];
        given.into_iter().filter_map(|(variable, value)| Some((variable, value?))).collect()
    }
}

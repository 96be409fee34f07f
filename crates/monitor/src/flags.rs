//! Command line.

use clap::Parser;
use postroom_core::settings::{Variable, variables};

/// Show running processes, failures and the state of each mail in a browser
#[derive(Debug, Parser)]
#[command(
    name = "postroom-monitor",
    version,
    after_help = "Examples:\n  postroom-monitor\n  postroom-monitor --port 8080 --log-level debug\n  \
                  MONITOR_PASSWORD_FILE=/run/secrets/monitor postroom-monitor --bind 0.0.0.0\n\n\
                  Settings also come from the environment, .env and postroom.toml; flags override them."
)]
pub struct Flags {
    /// Address to listen on; addresses other than loopback require MONITOR_PASSWORD [default:
    /// 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
    /// Port to listen on, 0 for any free one [default: 5555]
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
    /// URL of Redis or Valkey [default: redis://127.0.0.1:6379/0]
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// Lowest level that is logged: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Flags {
    /// Returns the given flags as settings.
    #[must_use]
    pub fn as_settings(&self) -> Vec<(Variable, String)> {
        let flags = [
            (variables::BIND, &self.bind),
            (variables::PORT, &self.port),
            (variables::REDIS_URL, &self.redis_url),
            (variables::LOG_LEVEL, &self.log_level),
        ];
        flags.into_iter().filter_map(|(variable, value)| Some((variable, value.clone()?))).collect()
    }
}

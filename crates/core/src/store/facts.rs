//! What the Redis server is, and what about it endangers mail.

use std::time::Duration;

use super::{connection::Store, info::Info};
use crate::Result;

/// What INFO says that matters to us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerFacts {
    /// As in `7.0.15`.
    pub version: String,
    /// The name of this run of the server.
    pub run_id: String,
    /// `noeviction`, we hope.
    pub eviction_policy: String,
    /// Whether writes go to the append-only file.
    pub aof: bool,
    /// Memory in use, as in `1.2M`.
    pub used_memory: String,
    /// Commands handled since it started.
    pub commands: u64,
    /// The processor time that it has used.
    pub cpu: Duration,
}

impl Store {
    /// Asks the server. Only INFO is used: CONFIG is refused by many hosts.
    pub async fn server_facts(&self) -> Result<ServerFacts> {
        let info = Info::new(self.run(&redis::cmd("INFO")).await?);
        let fact = |name: &str| info.fact(name).to_owned();
        let seconds = |name: &str| info.fact(name).parse().unwrap_or(0.0);
        Ok(ServerFacts {
            version: fact("redis_version"),
            run_id: fact("run_id"),
            eviction_policy: fact("maxmemory_policy"),
            aof: fact("aof_enabled") == "1",
            used_memory: fact("used_memory_human"),
            commands: fact("total_commands_processed").parse().unwrap_or(0),
            cpu: Duration::from_secs_f64(seconds("used_cpu_user") + seconds("used_cpu_sys")),
        })
    }
}

impl Store {
    /// Says at the start of a process what about the server endangers mail. Where it is away by now, the process says so.
    pub async fn warn_of_server(&self) {
        for warning in self.server_facts().await.map(|facts| facts.warnings()).unwrap_or_default() {
            tracing::warn!("{warning}");
        }
    }
}

impl ServerFacts {
    /// What an operator should be told at start: each a sentence.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut told = Vec::new();
        if self.major_minor() < (6, 2) {
            told.push(format!("Redis {} is too old: 6.2 or newer is needed", self.version));
        }
        if !matches!(self.eviction_policy.as_str(), "noeviction" | "") {
            told.push(format!(
                "Redis may throw mail away when it is full (maxmemory-policy {}): set it to noeviction",
                self.eviction_policy
            ));
        }
        if !self.aof {
            told.push(
                "Redis does not keep its append-only file: what it holds is lost when it stops; set appendonly yes"
                    .to_owned(),
            );
        }
        if self.run_id.is_empty() {
            told.push("Redis does not tell its run_id (INFO): that it was restarted stays unnoticed".to_owned());
        }
        told
    }

    fn major_minor(&self) -> (u32, u32) {
        let mut numbers = self.version.split('.').map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
}

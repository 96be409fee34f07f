//! Information about the Redis server, and warnings about settings that endanger mail.

use std::time::Duration;

use super::{connection::Store, info::Info};
use crate::Result;

/// Selected fields of INFO.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerFacts {
    /// Version of the server, such as `7.0.15`.
    pub version: String,
    /// Id of this run of the server.
    pub run_id: String,
    /// Eviction policy. Only `noeviction` is safe.
    pub eviction_policy: String,
    /// Whether the append-only file is enabled.
    pub aof: bool,
    /// Memory in use, such as `1.2M`.
    pub used_memory: String,
    /// Number of commands processed since the start.
    pub commands: u64,
    /// CPU time used since the start.
    pub cpu: Duration,
}

impl Store {
    /// Reads INFO. CONFIG is not used because many hosting providers deny it.
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
    /// Logs warnings about the server at the start of a process. A failed read is not logged here.
    pub async fn warn_of_server(&self) {
        for warning in self.server_facts().await.map(|facts| facts.warnings()).unwrap_or_default() {
            tracing::warn!("{warning}");
        }
    }
}

impl ServerFacts {
    /// Returns a sentence for each setting that endangers mail.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut told = Vec::new();
        if self.major_minor() < (6, 2) {
            told.push(format!("Redis {} is too old: 6.2 or newer is needed", self.version));
        }
        if !matches!(self.eviction_policy.as_str(), "noeviction" | "") {
            told.push(format!(
                "Redis may evict mail when it is full (maxmemory-policy {}): set it to noeviction",
                self.eviction_policy
            ));
        }
        if !self.aof {
            told.push("Redis has no append-only file: all data is lost when it stops; set appendonly yes".to_owned());
        }
        if self.run_id.is_empty() {
            told.push("Redis does not report its run_id (INFO): restarts can't be detected".to_owned());
        }
        told
    }

    fn major_minor(&self) -> (u32, u32) {
        let mut numbers = self.version.split('.').map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
}

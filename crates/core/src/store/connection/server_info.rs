//! Information about the Redis server, and warnings about settings that endanger mail.

use std::time::Duration;

use super::{info::Info, store::Store};
use crate::Result;

/// Selected fields of INFO.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerInfo {
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
    pub async fn server_info(&self) -> Result<ServerInfo> {
        let info = Info::new(self.run(&redis::cmd("INFO")).await?);
        let field = |name: &str| info.field(name).to_owned();
        let seconds = |name: &str| info.field(name).parse().unwrap_or(0.0);
        Ok(ServerInfo {
            version: field("redis_version"),
            run_id: field("run_id"),
            eviction_policy: field("maxmemory_policy"),
            aof: field("aof_enabled") == "1",
            used_memory: field("used_memory_human"),
            commands: field("total_commands_processed").parse().unwrap_or(0),
            cpu: Duration::from_secs_f64(seconds("used_cpu_user") + seconds("used_cpu_sys")),
        })
    }
}

impl Store {
    /// Logs warnings about the server at the start of a process. A failed read is not logged here.
    pub async fn warn_about_server(&self) {
        for warning in self.server_info().await.map(|info| info.warnings()).unwrap_or_default() {
            tracing::warn!("{warning}");
        }
    }
}

impl ServerInfo {
    /// Returns a sentence for each setting that endangers mail.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.major_minor() < (6, 2) {
            warnings.push(format!("Redis {} is too old: 6.2 or newer is needed", self.version));
        }
        if !matches!(self.eviction_policy.as_str(), "noeviction" | "") {
            warnings.push(format!(
                "Redis may evict mail when it is full (maxmemory-policy {}): set it to noeviction",
                self.eviction_policy
            ));
        }
        if !self.aof {
            warnings
                .push("Redis has no append-only file: all data is lost when it stops; set appendonly yes".to_owned());
        }
        if self.run_id.is_empty() {
            warnings.push("Redis does not report its run_id (INFO): restarts can't be detected".to_owned());
        }
        warnings
    }

    fn major_minor(&self) -> (u32, u32) {
        let mut numbers = self.version.split('.').map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
}

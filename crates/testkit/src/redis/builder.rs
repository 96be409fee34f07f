//! Builder of a private Redis.

use super::PrivateRedis;
use super::server::{self, RedisAddress};
use crate::FakeClock;
use crate::port;
use std::net::SocketAddr;

/// Arguments and environment of the server, kept for restarts.
#[derive(Clone, Debug, Default)]
pub(super) struct LaunchOptions {
    pub(super) args: Vec<String>,
    pub(super) envs: Vec<(String, String)>,
    pub(super) records_aof_size: bool,
}

/// Builder of a [`PrivateRedis`].
///
/// By default the server listens on a unix socket and has the recommended configuration.
#[derive(Clone, Debug, Default)]
pub struct PrivateRedisBuilder {
    tcp: bool,
    options: LaunchOptions,
}

impl PrivateRedisBuilder {
    /// Listens on a port of 127.0.0.1 instead of a unix socket.
    pub fn tcp(self) -> Self {
        Self { tcp: true, ..self }
    }

    /// Adds a configuration directive, such as `("maxmemory", "20mb")`.
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.options.args.extend([format!("--{name}"), value.to_owned()]);
        self
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.options.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Uses this clock, which stays adjustable while the server runs.
    pub fn clock(self, clock: &FakeClock) -> Self {
        clock.envs().iter().fold(self, |builder, (name, value)| builder.env(name, value))
    }

    /// Records the size of the append-only file over time, for
    /// [`kill_and_cut_back`](PrivateRedis::kill_and_cut_back). This disables rewrites of the file.
    pub fn records_aof_size(mut self) -> Self {
        self.options.records_aof_size = true;
        self.config("auto-aof-rewrite-percentage", "0")
    }

    /// Makes the server a replica of the Redis at `primary`.
    pub fn replica_of(mut self, primary: SocketAddr) -> Self {
        self.options.args.extend(["--replicaof".to_owned(), primary.ip().to_string(), primary.port().to_string()]);
        self
    }

    /// Starts the server and waits until it accepts commands.
    pub async fn start(self) -> PrivateRedis {
        super::off_thread(move || self.start_now()).await
    }

    pub(super) fn start_now(self) -> PrivateRedis {
        if self.tcp { self.start_on_port() } else { self.start_on_socket() }
    }

    fn start_on_socket(self) -> PrivateRedis {
        let folder = server::folder();
        let address = RedisAddress::Socket(folder.path().join("redis.sock"));
        PrivateRedis::start_at(address, folder, self.options)
            .unwrap_or_else(|log| panic!("Redis does not start:\n{log}"))
    }

    /// Starts the server on a free port. Another process may take that port first, so this tries
    /// five times.
    fn start_on_port(self) -> PrivateRedis {
        let mut log = String::new();
        for _ in 0..5 {
            match PrivateRedis::start_at(RedisAddress::Port(port::free()), server::folder(), self.options.clone()) {
                Ok(redis) => return redis,
                Err(server_log) => log = server_log,
            }
        }
        panic!("Redis does not start on a free port of 127.0.0.1:\n{log}");
    }
}

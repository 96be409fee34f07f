//! How a private Redis is started.

use super::PrivateRedis;
use super::server::{self, Address};
use crate::FakeClock;
use crate::port;
use std::net::SocketAddr;

/// What its program is told beside where to listen; kept for starting it again.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) args: Vec<String>,
    pub(super) envs: Vec<(String, String)>,
    pub(super) remembers: bool,
}

/// Describes a [`PrivateRedis`]. By default it listens on a unix socket and is configured as README tells people to.
#[derive(Clone, Debug, Default)]
pub struct PrivateRedisBuilder {
    tcp: bool,
    plan: Plan,
}

impl PrivateRedisBuilder {
    /// Listens on a port of 127.0.0.1 instead.
    pub fn tcp(self) -> Self {
        Self { tcp: true, ..self }
    }

    /// A line of its configuration, such as `("maxmemory", "20mb")`.
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.plan.args.extend([format!("--{name}"), value.to_owned()]);
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.plan.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Goes by this clock, which can be moved while it runs.
    pub fn clock(self, clock: &FakeClock) -> Self {
        clock.envs().iter().fold(self, |builder, (name, value)| builder.env(name, value))
    }

    /// Remembers how large its append-only file was when, for
    /// [`kill_and_cut_back`](PrivateRedis::kill_and_cut_back). The file is then never rewritten.
    pub fn remembers(mut self) -> Self {
        self.plan.remembers = true;
        self.config("auto-aof-rewrite-percentage", "0")
    }

    /// Copies from the Redis at this address.
    pub fn replica_of(mut self, primary: SocketAddr) -> Self {
        self.plan.args.extend(["--replicaof".to_owned(), primary.ip().to_string(), primary.port().to_string()]);
        self
    }

    /// Starts it.
    pub async fn start(self) -> PrivateRedis {
        super::off_thread(move || self.start_now()).await
    }

    pub(super) fn start_now(self) -> PrivateRedis {
        if self.tcp { self.start_on_port() } else { self.start_on_socket() }
    }

    fn start_on_socket(self) -> PrivateRedis {
        let folder = server::folder();
        let address = Address::Socket(folder.path().join("redis.sock"));
        PrivateRedis::start_at(address, folder, self.plan).unwrap_or_else(|log| panic!("Redis does not start:\n{log}"))
    }

    /// The port is free when it is chosen; somebody else may be faster in taking it.
    fn start_on_port(self) -> PrivateRedis {
        let mut log = String::new();
        for _ in 0..5 {
            match PrivateRedis::start_at(Address::Port(port::free()), server::folder(), self.plan.clone()) {
                Ok(redis) => return redis,
                Err(told) => log = told,
            }
        }
        panic!("Redis does not start on a free port of 127.0.0.1:\n{log}");
    }
}

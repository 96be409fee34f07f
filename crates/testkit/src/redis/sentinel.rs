//! Private Sentinel that monitors a private Redis and promotes its replica.

use super::server::{self, RedisAddress};
use super::{PrivateRedis, RunningRedis};
use crate::port;
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;

/// Single Sentinel with a quorum of one. It ends when dropped.
#[derive(Debug)]
pub struct Sentinel {
    address: RedisAddress,
    process: RunningRedis,
    _folder: TempDir,
}

impl Sentinel {
    /// Name of the monitored Redis.
    pub const NAME: &str = "postroom";

    /// Starts a Sentinel that monitors `primary`. It considers `primary` down after `down_after`
    /// without a reply.
    pub async fn over(primary: &PrivateRedis, down_after: Duration) -> Self {
        Self::naming(primary.addr(), down_after).await
    }

    /// Starts a Sentinel that monitors the address `watched`, even if no Redis replies there.
    pub async fn naming(watched: SocketAddr, down_after: Duration) -> Self {
        super::off_thread(move || Self::start(watched, down_after)).await
    }

    /// Returns the address of this Sentinel.
    pub fn addr(&self) -> SocketAddr {
        self.address.socket_addr()
    }

    /// Returns the address of the current primary.
    pub fn primary(&self) -> SocketAddr {
        let reply = self.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::NAME]);
        let (host, port) = reply.split_once('\n').expect("an address and a port");
        format!("{host}:{port}").parse().expect("an address")
    }

    /// Returns the number of known replicas. Sentinel discovers them within ten seconds.
    pub fn replicas(&self) -> usize {
        self.ask(&["SENTINEL", "REPLICAS", Self::NAME]).lines().filter(|line| *line == "runid").count()
    }

    /// Sends one command. The reply has the format of [`PrivateRedis::ask`].
    pub fn ask(&self, command: &[&str]) -> String {
        server::ask(&self.address, command).expect("Sentinel replies")
    }

    fn start(watched: SocketAddr, down_after: Duration) -> Self {
        let (folder, port) = (server::folder(), port::free());
        let file = folder.path().join("sentinel.conf");
        fs::write(&file, configuration(port, watched, down_after)).expect("a file can be written");
        let mut command = server::command(folder.path());
        command.arg(&file).arg("--sentinel");
        let address = RedisAddress::Port(port);
        let child = server::start(command, &address, folder.path());
        let child = child.unwrap_or_else(|log| panic!("Sentinel does not start:\n{log}"));
        let process = RunningRedis::watched(child, folder.path());
        Self { address, process, _folder: folder }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.process.end(Signal::KILL);
    }
}

/// Returns the content of the configuration file. Sentinel also writes its state into that file.
fn configuration(port: u16, watched: SocketAddr, down_after: Duration) -> String {
    let (name, ip, watched_port, down_after) = (Sentinel::NAME, watched.ip(), watched.port(), down_after.as_millis());
    format!(
        "bind 127.0.0.1\nport {port}\nlogfile {}\n\
         sentinel monitor {name} {ip} {watched_port} 1\n\
         sentinel down-after-milliseconds {name} {down_after}\n\
         sentinel failover-timeout {name} 3000\n",
        server::LOG,
    )
}

//! A Sentinel of the test's own, which watches a private Redis and promotes its replica.

use super::server::{self, Address};
use super::{PrivateRedis, Running};
use crate::port;
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;

/// A lone Sentinel (a quorum of one) that ends with the test.
#[derive(Debug)]
pub struct Sentinel {
    address: Address,
    process: Running,
    _folder: TempDir,
}

impl Sentinel {
    /// What it calls the Redis that it watches.
    pub const NAME: &str = "postroom";

    /// Starts one over `primary`, which it calls down when it has not answered for `patience`.
    pub async fn over(primary: &PrivateRedis, patience: Duration) -> Self {
        Self::naming(primary.addr(), patience).await
    }

    /// Starts one that names `watched`, whether or not it can speak to what listens there.
    pub async fn naming(watched: SocketAddr, patience: Duration) -> Self {
        super::off_thread(move || Self::start(watched, patience)).await
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address.socket_addr()
    }

    /// The Redis that it holds for the primary now.
    pub fn primary(&self) -> SocketAddr {
        let told = self.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::NAME]);
        let (host, port) = told.split_once('\n').expect("an address and a port");
        format!("{host}:{port}").parse().expect("an address")
    }

    /// How many replicas it knows; it learns of them from the primary within ten seconds.
    pub fn replicas(&self) -> usize {
        self.ask(&["SENTINEL", "REPLICAS", Self::NAME]).lines().filter(|line| *line == "runid").count()
    }

    /// Sends one command; see [`PrivateRedis::ask`].
    pub fn ask(&self, command: &[&str]) -> String {
        server::ask(&self.address, command).expect("this Sentinel answers")
    }

    fn start(watched: SocketAddr, patience: Duration) -> Self {
        let (folder, port) = (server::folder(), port::free());
        let file = folder.path().join("sentinel.conf");
        fs::write(&file, configuration(port, watched, patience)).expect("a file can be written");
        let mut command = server::command(folder.path());
        command.arg(&file).arg("--sentinel");
        let address = Address::Port(port);
        let child = server::start(command, &address, folder.path());
        let child = child.unwrap_or_else(|log| panic!("Sentinel does not start:\n{log}"));
        let process = Running::watched(child, folder.path());
        Self { address, process, _folder: folder }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.process.end(Signal::KILL);
    }
}

/// It writes what it learns into the same file.
fn configuration(port: u16, watched: SocketAddr, patience: Duration) -> String {
    let (name, ip, watched_port, patience) = (Sentinel::NAME, watched.ip(), watched.port(), patience.as_millis());
    format!(
        "bind 127.0.0.1\nport {port}\nlogfile {}\n\
         sentinel monitor {name} {ip} {watched_port} 1\n\
         sentinel down-after-milliseconds {name} {patience}\n\
         sentinel failover-timeout {name} 3000\n",
        server::LOG,
    )
}

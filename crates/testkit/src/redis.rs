//! A Redis of the test's own.

mod server;

use crate::{port, watchdog::Watchdog};
use rustix::process::Signal;
use server::Address;
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use tempfile::TempDir;

/// A Redis or Valkey that belongs to one test (or, by [`PrivateRedis::shared`], to one test binary) and ends with it.
///
/// It is configured as README tells people to: append-only file, `everysec`, `noeviction`.
#[derive(Debug)]
pub struct PrivateRedis {
    address: Address,
    running: Mutex<Option<Running>>,
    folder: TempDir,
}

#[derive(Debug)]
struct Running {
    child: Child,
    _watchdog: Watchdog,
}

impl PrivateRedis {
    /// Starts one that listens on a unix socket and on no port.
    pub async fn start() -> Self {
        off_thread(Self::start_on_socket).await
    }

    /// Starts one on a port of 127.0.0.1, for tests of outages as a client over TCP sees them.
    pub async fn start_tcp() -> Self {
        off_thread(Self::start_on_port).await
    }

    /// The Redis that all tests of this binary share; each takes its own [`unique_prefix`] there.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PrivateRedis> = OnceLock::new();
        SHARED.get_or_init(Self::start_on_socket)
    }

    /// The address as `REDIS_URL` has it.
    pub fn url(&self) -> String {
        self.address.url()
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> u32 {
        self.running().as_ref().expect("this Redis is stopped").child.id()
    }

    /// Kills it as a crash would, without a chance to write anything.
    pub fn kill(&self) {
        self.end(Signal::KILL);
    }

    /// Stops it in good order.
    pub fn stop(&self) {
        self.end(Signal::TERM);
    }

    /// Starts it again with its data and at its address, after [`kill`](Self::kill) or [`stop`](Self::stop).
    pub async fn start_again(&self) {
        assert!(self.running().is_none(), "this Redis still runs");
        let (program, address, folder) = (server::program(), self.address.clone(), self.folder.path().to_owned());
        let child = off_thread(move || server::start(&program, &address, &folder)).await;
        let child = child.unwrap_or_else(|log| panic!("Redis does not start again:\n{log}"));
        *self.running() = Some(self.watched(child));
    }

    /// Freezes it: connections stay open and nothing is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends one command and returns its reply as text: an array has a line for each element, nil is empty, an error
    /// begins with `-`. Blocks; meant for looking in from outside.
    pub fn ask(&self, command: &[&str]) -> String {
        server::ask(&self.address, command).expect("this Redis answers")
    }

    fn start_on_socket() -> Self {
        let folder = folder();
        let address = Address::Socket(folder.path().join("redis.sock"));
        Self::start_at(address, folder).unwrap_or_else(|log| panic!("Redis does not start:\n{log}"))
    }

    fn start_on_port() -> Self {
        // The port is free when it is chosen; somebody else may be faster in taking it.
        let mut attempts = (0..5).map(|_| {
            let free = port::listen().local_addr().expect("a listener has an address").port();
            Self::start_at(Address::Port(free), folder())
        });
        let found = attempts.find_map(Result::ok);
        found.expect("Redis starts on a free port of 127.0.0.1")
    }

    fn start_at(address: Address, folder: TempDir) -> Result<Self, String> {
        let child = server::start(&server::program(), &address, folder.path())?;
        let redis = Self { address, running: Mutex::new(None), folder };
        *redis.running() = Some(redis.watched(child));
        Ok(redis)
    }

    fn watched(&self, child: Child) -> Running {
        let _watchdog = Watchdog::over(child.id(), Some(self.folder.path()));
        Running { child, _watchdog }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) {
        let running = self.running();
        let running = running.as_ref().expect("this Redis is stopped");
        crate::process::signal(&running.child, signal);
    }

    fn end(&self, signal: Signal) {
        let mut running = self.running().take().expect("this Redis is stopped already");
        crate::process::signal(&running.child, signal);
        // A paused one hears SIGTERM only when it goes on.
        crate::process::signal(&running.child, Signal::CONT);
        running.child.wait().expect("a child can be waited for");
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        if self.running().is_some() {
            self.kill();
        }
    }
}

/// A key prefix that no other test uses.
pub fn unique_prefix() -> String {
    static TURN: AtomicU32 = AtomicU32::new(1);
    format!("t{}-{}", std::process::id(), TURN.fetch_add(1, Ordering::Relaxed))
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("postroom-redis-").tempdir().expect("a temporary folder can be made")
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

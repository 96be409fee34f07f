//! A Redis of the test's own.

mod history;
mod plan;
mod sentinel;
mod server;

pub use plan::PrivateRedisBuilder;
pub use sentinel::Sentinel;

use crate::watchdog::Watchdog;
use history::History;
use plan::Plan;
use rustix::process::Signal;
use server::Address;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// A Redis or Valkey that belongs to one test (or, by [`PrivateRedis::shared`], to one test binary) and ends with it.
///
/// It is configured as README tells people to: append-only file, `everysec`, `noeviction`.
#[derive(Debug)]
pub struct PrivateRedis {
    address: Address,
    plan: Plan,
    running: Mutex<Option<Running>>,
    history: Option<History>,
    folder: TempDir,
}

/// A server process that ends with the test.
#[derive(Debug)]
struct Running {
    child: Child,
    _watchdog: Watchdog,
}

impl PrivateRedis {
    /// One to be described and then started.
    pub fn builder() -> PrivateRedisBuilder {
        PrivateRedisBuilder::default()
    }

    /// Starts one that listens on a unix socket and on no port.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Starts one on a port of 127.0.0.1, for tests of outages as a client over TCP sees them.
    pub async fn start_tcp() -> Self {
        Self::builder().tcp().start().await
    }

    /// Starts a copy of it (which must listen on a port) that follows it.
    pub async fn replica(&self) -> Self {
        Self::builder().tcp().replica_of(self.addr()).start().await
    }

    /// The Redis that all tests of this binary share; each takes its own [`unique_prefix`] there.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PrivateRedis> = OnceLock::new();
        SHARED.get_or_init(|| Self::builder().start_now())
    }

    /// The address as `REDIS_URL` has it.
    pub fn url(&self) -> String {
        self.address.url()
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> u32 {
        self.running().as_ref().expect("this Redis is stopped").child.id()
    }

    /// Where it listens, if that is a port.
    pub fn addr(&self) -> SocketAddr {
        self.address.socket_addr()
    }

    /// How large its append-only file is.
    pub fn aof_size(&self) -> u64 {
        history::current(self.folder.path()).map_or(0, |path| history::size_of(&path))
    }

    /// Kills it as a crash would, without a chance to write anything.
    pub fn kill(&self) {
        self.end(Signal::KILL);
    }

    /// Kills it and takes from its data what it wrote within the last `back`, as when its machine is lost. Returns how
    /// many bytes are gone. It must have been told to [`remember`](PrivateRedisBuilder::remembers).
    pub fn kill_and_cut_back(&self, back: Duration) -> u64 {
        let history = self.history.as_ref().expect("this Redis was told to remember");
        self.kill();
        history.cut_back(self.folder.path(), back)
    }

    /// Stops it in good order.
    pub fn stop(&self) {
        self.end(Signal::TERM);
    }

    /// Starts it again with its data and at its address, after [`kill`](Self::kill) or [`stop`](Self::stop).
    pub async fn start_again(&self) {
        assert!(self.running().is_none(), "this Redis still runs");
        let (address, folder, plan) = (self.address.clone(), self.folder.path().to_owned(), self.plan.clone());
        let start = move || server::start(server::configured(&address, &folder, &plan), &address, &folder);
        let child = off_thread(start).await;
        let child = child.unwrap_or_else(|log| panic!("Redis does not start again:\n{log}"));
        *self.running() = Some(Running::watched(child, self.folder.path()));
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

    /// Like [`ask`](Self::ask), for when it may be away or stalled.
    pub fn try_ask(&self, command: &[&str]) -> io::Result<String> {
        server::ask(&self.address, command)
    }

    fn start_at(address: Address, folder: TempDir, plan: Plan) -> Result<Self, String> {
        let child = server::start(server::configured(&address, folder.path(), &plan), &address, folder.path())?;
        let running = Mutex::new(Some(Running::watched(child, folder.path())));
        let history = plan.remembers.then(|| History::of(folder.path()));
        Ok(Self { address, plan, running, history, folder })
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
        self.running().take().expect("this Redis is stopped already").end(signal);
    }
}

impl Running {
    fn watched(child: Child, folder: &Path) -> Self {
        let _watchdog = Watchdog::over(child.id(), Some(folder));
        Self { child, _watchdog }
    }

    fn end(&mut self, signal: Signal) {
        crate::process::signal(&self.child, signal);
        // A paused one hears SIGTERM only when it goes on.
        crate::process::signal(&self.child, Signal::CONT);
        self.child.wait().expect("a child can be waited for");
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

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

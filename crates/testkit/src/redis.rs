//! Private Redis servers for tests.

mod builder;
mod history;
mod sentinel;
mod server;

pub use builder::PrivateRedisBuilder;
pub use sentinel::Sentinel;

use crate::watchdog::Watchdog;
use builder::LaunchOptions;
use history::History;
use rustix::process::Signal;
use server::RedisAddress;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// Redis or Valkey server of one test, or of one test binary ([`PrivateRedis::shared`]).
///
/// Its configuration is the one that `docs/redis.md` recommends: append-only file, `everysec`,
/// `noeviction`. The server ends when this value is dropped.
#[derive(Debug)]
pub struct PrivateRedis {
    address: RedisAddress,
    options: LaunchOptions,
    running: Mutex<Option<RunningRedis>>,
    history: Option<History>,
    folder: TempDir,
}

/// Server process that ends with the test.
#[derive(Debug)]
struct RunningRedis {
    child: Child,
    _watchdog: Watchdog,
}

impl PrivateRedis {
    /// Returns a builder of a server.
    pub fn builder() -> PrivateRedisBuilder {
        PrivateRedisBuilder::default()
    }

    /// Starts a server on a unix socket, without a TCP port.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Starts a server on a port of 127.0.0.1, for tests that need TCP.
    pub async fn start_tcp() -> Self {
        Self::builder().tcp().start().await
    }

    /// Starts a replica of this server, which must listen on a port.
    pub async fn replica(&self) -> Self {
        Self::builder().tcp().replica_of(self.addr()).start().await
    }

    /// Returns the server that all tests of this binary share. Each test uses its own
    /// [`unique_prefix`].
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PrivateRedis> = OnceLock::new();
        SHARED.get_or_init(|| Self::builder().start_now())
    }

    /// Returns the value for `REDIS_URL`.
    pub fn url(&self) -> String {
        self.address.url()
    }

    /// Returns the process id of the running server.
    pub fn pid(&self) -> u32 {
        self.running().as_ref().expect("this Redis is stopped").child.id()
    }

    /// Returns the address of a server that listens on a port.
    pub fn addr(&self) -> SocketAddr {
        self.address.socket_addr()
    }

    /// Returns the size of the append-only file in bytes.
    pub fn aof_size(&self) -> u64 {
        history::current(self.folder.path()).map_or(0, |path| history::size_of(&path))
    }

    /// Kills the server (SIGKILL), as in a crash.
    pub fn kill(&self) {
        self.end(Signal::KILL);
    }

    /// Kills the server and removes the writes of the last `back`, as when its machine is lost.
    /// Returns the number of removed bytes.
    ///
    /// Requires [`records_aof_size`](PrivateRedisBuilder::records_aof_size).
    pub fn kill_and_cut_back(&self, back: Duration) -> u64 {
        let history = self.history.as_ref().expect("this Redis was started with records_aof_size()");
        self.kill();
        history.cut_back(self.folder.path(), back)
    }

    /// Stops the server gracefully (SIGTERM).
    pub fn stop(&self) {
        self.end(Signal::TERM);
    }

    /// Restarts the server after [`kill`](Self::kill) or [`stop`](Self::stop), with the same data
    /// and address.
    pub async fn start_again(&self) {
        assert!(self.running().is_none(), "this Redis is still running");
        let (address, folder, options) = (self.address.clone(), self.folder.path().to_owned(), self.options.clone());
        let start = move || server::start(server::configured(&address, &folder, &options), &address, &folder);
        let child = off_thread(start).await;
        let child = child.unwrap_or_else(|log| panic!("Redis does not start again:\n{log}"));
        *self.running() = Some(RunningRedis::watched(child, self.folder.path()));
    }

    /// Freezes the server. Connections stay open without replies.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Resumes the server after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends one command over a new connection and returns the reply as text. Blocks the thread.
    ///
    /// An array has one line per element, nil is empty, and an error begins with `-`.
    pub fn ask(&self, command: &[&str]) -> String {
        server::ask(&self.address, command).expect("Redis replies")
    }

    /// Like [`ask`](Self::ask), but returns an error if the server is unreachable or stalled.
    pub fn try_ask(&self, command: &[&str]) -> io::Result<String> {
        server::ask(&self.address, command)
    }

    fn start_at(address: RedisAddress, folder: TempDir, options: LaunchOptions) -> Result<Self, String> {
        let child = server::start(server::configured(&address, folder.path(), &options), &address, folder.path())?;
        let running = Mutex::new(Some(RunningRedis::watched(child, folder.path())));
        let history = options.records_aof_size.then(|| History::of(folder.path()));
        Ok(Self { address, options, running, history, folder })
    }

    fn running(&self) -> MutexGuard<'_, Option<RunningRedis>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) {
        let running = self.running();
        let running = running.as_ref().expect("this Redis is stopped");
        crate::process::signal(&running.child, signal);
    }

    fn end(&self, signal: Signal) {
        self.running().take().expect("this Redis is already stopped").end(signal);
    }
}

impl RunningRedis {
    fn watched(child: Child, folder: &Path) -> Self {
        let _watchdog = Watchdog::over(child.id(), Some(folder));
        Self { child, _watchdog }
    }

    fn end(&mut self, signal: Signal) {
        crate::process::signal(&self.child, signal);
        // A frozen process handles SIGTERM only after SIGCONT.
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

/// Returns a key prefix that no other test uses.
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

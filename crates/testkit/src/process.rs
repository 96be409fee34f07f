//! Child processes of a test.

use crate::eventually::poll;
use crate::watchdog::Watchdog;
use rustix::process::{Pid, Signal};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// Variables that a child inherits. Any other could change its behaviour.
const INHERITED: [&str; 5] = ["HOME", "LLVM_PROFILE_FILE", "PATH", "RUST_BACKTRACE", "TMPDIR"];

/// Maximum time to wait for the remaining output of an ended process. A grandchild can hold the
/// pipes open.
const OUTPUT_LIMIT: Duration = Duration::from_secs(2);

/// Running program with captured output. It is killed on drop and when the test process ends.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
    /// `None` once the process has ended, because its id can then belong to another process.
    watchdog: Option<Watchdog>,
    _folder: Option<TempDir>,
}

impl Process {
    /// Starts `program` in an empty folder with `envs` and a minimal environment. A developer's
    /// `.env` or `postroom.toml` has no effect.
    pub fn spawn(program: impl AsRef<Path>, args: &[&str], envs: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("postroom-process-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let mut command = Command::new(program.as_ref());
        command.args(args).env_clear().envs(inherited()).envs(envs.iter().copied()).current_dir(folder.path());
        Self::start(command, Some(folder))
    }

    /// Starts `command` with its own folder and environment.
    pub fn run(command: Command) -> Self {
        Self::start(command, None)
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Returns standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits for a line that contains `part` on standard output or error, and returns it.
    pub async fn wait_for_line(&self, part: &str, limit: Duration) -> String {
        let line = poll(limit, async || self.line_with(part)).await;
        line.unwrap_or_else(|| panic!("no line with {part:?} within {limit:?}\n{}", self.output()))
    }

    /// Kills the process (SIGKILL).
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
        self.watchdog = None;
    }

    /// Requests termination (SIGTERM). [`wait`](Self::wait) returns the exit status.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Requests a reload of the configuration (SIGHUP).
    pub fn hang_up(&mut self) {
        self.signal(Signal::HUP);
    }

    /// Freezes the process (SIGSTOP).
    pub fn stop(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Resumes the process after [`stop`](Self::stop) (SIGCONT).
    pub fn cont(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Whether the process is still running.
    pub fn is_running(&mut self) -> bool {
        self.exited().is_none()
    }

    /// Waits until the process has ended and its output is read. Panics with the output after
    /// `limit`.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        let Some(status) = poll(limit, async || self.exited()).await else {
            panic!("process {} did not end within {limit:?}\n{}", self.pid(), self.output());
        };
        poll(OUTPUT_LIMIT, async || (self.stdout.is_closed() && self.stderr.is_closed()).then_some(())).await;
        status
    }

    /// Returns the resident memory in kilobytes (Linux).
    pub fn rss_kb(&self) -> u64 {
        self.status_kb("VmRSS:")
    }

    /// Returns the peak resident memory in kilobytes (Linux).
    pub fn peak_rss_kb(&self) -> u64 {
        self.status_kb("VmHWM:")
    }

    fn status_kb(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("can't read {path}: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let line = line.unwrap_or_else(|| panic!("{path} has no {field}"));
        line.trim().trim_end_matches(" kB").parse().expect("a number of kB")
    }

    fn start(mut command: Command, folder: Option<TempDir>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("can't run {command:?}: {error}"));
        let watchdog = Some(Watchdog::over(child.id(), folder.as_ref().map(TempDir::path)));
        let stdout = Output::of(child.stdout.take().expect("standard output is piped"));
        let stderr = Output::of(child.stderr.take().expect("standard error is piped"));
        Self { child, stdout, stderr, watchdog, _folder: folder }
    }

    fn signal(&mut self, kind: Signal) {
        if self.is_running() {
            signal(&self.child, kind);
        }
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("a child can be waited for");
        if status.is_some() {
            self.watchdog = None;
        }
        status
    }

    fn line_with(&self, part: &str) -> Option<String> {
        let all = [self.stdout(), self.stderr()];
        all.iter().flat_map(|text| text.lines()).find(|line| line.contains(part)).map(str::to_owned)
    }

    fn output(&self) -> String {
        format!("--- stdout\n{}--- stderr\n{}", self.stdout(), self.stderr())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Output so far. A reader thread holds the second reference until the pipe is closed.
#[derive(Debug)]
struct Output(Arc<Mutex<String>>);

impl Output {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let filled = Arc::clone(&text);
        std::thread::spawn(move || fill(&filled, BufReader::new(pipe)));
        Self(text)
    }

    fn text(&self) -> String {
        lock(&self.0).clone()
    }

    fn is_closed(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

fn fill(text: &Mutex<String>, mut pipe: impl BufRead) {
    let mut line = Vec::new();
    while pipe.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        lock(text).push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
}

fn lock(text: &Mutex<String>) -> MutexGuard<'_, String> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends a signal to a child that was not reaped yet, so that its id is still valid.
pub(crate) fn signal(child: &Child, signal: Signal) {
    let _ = rustix::process::kill_process(Pid::from_child(child), signal);
}

fn inherited() -> impl Iterator<Item = (&'static str, OsString)> {
    INHERITED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

//! Our own programs as child processes of a test.

use crate::eventually::eventually;
use crate::watchdog::Watchdog;
use rustix::process::{Pid, Signal};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// What is handed on from the test's environment; anything else could change what a program does.
const INHERITED: [&str; 5] = ["HOME", "LLVM_PROFILE_FILE", "PATH", "RUST_BACKTRACE", "TMPDIR"];

/// A running program whose output is kept; killed when dropped, or when the test process ends in any way.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
    _watchdog: Watchdog,
    _folder: Option<TempDir>,
}

/// What was written so far, filled by a thread.
#[derive(Clone, Debug, Default)]
struct Output(Arc<Mutex<String>>);

impl Process {
    /// Starts `program` in an empty folder with `envs` and hardly any environment else, so that no `.env` or
    /// `postroom.toml` of the developer gets in.
    pub fn spawn<A, E>(program: impl AsRef<Path>, args: A, envs: E) -> Self
    where
        A: IntoIterator<Item: AsRef<OsStr>>,
        E: IntoIterator<Item = (&'static str, String)>,
    {
        let folder = tempfile::Builder::new().prefix("postroom-process-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let mut command = Command::new(program.as_ref());
        command.args(args).env_clear().envs(inherited()).envs(envs).current_dir(folder.path());
        Self::start(command, Some(folder))
    }

    /// Starts a command as it is, but for its output, which is kept.
    pub fn run(command: Command) -> Self {
        Self::start(command, None)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until a line with `part` in it was written to either output, and returns it.
    pub async fn wait_for_line(&self, part: &str, limit: Duration) -> String {
        let what = format!("a line with {part:?} in the output of process {}", self.pid());
        let found = tokio::time::timeout(limit, eventually(Duration::MAX / 4, &what, async || self.line_with(part)));
        found.await.unwrap_or_else(|_| panic!("waited {limit:?} for {what}; it is\n{}", self.output()))
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end (SIGTERM); [`wait`](Self::wait) says how it did.
    pub fn terminate(&self) {
        signal(&self.child, Signal::TERM);
    }

    /// Asks it to read its configuration again (SIGHUP).
    pub fn hang_up(&self) {
        signal(&self.child, Signal::HUP);
    }

    /// Freezes it (SIGSTOP).
    pub fn stop(&self) {
        signal(&self.child, Signal::STOP);
    }

    /// Lets it go on after [`stop`](Self::stop) (SIGCONT).
    pub fn cont(&self) {
        signal(&self.child, Signal::CONT);
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.exited().is_none()
    }

    /// Waits until it ended, and panics with its output when it does not within `limit`.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        let ended = async {
            loop {
                if let Some(status) = self.exited() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = tokio::time::timeout(limit, ended).await;
        ended.unwrap_or_else(|_| panic!("process {} did not end within {limit:?}\n{}", self.pid(), self.output()))
    }

    /// The memory it occupies, in kilobytes (Linux).
    pub fn rss_kb(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("can't read {path}: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a living process has VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("VmRSS is a number of kB")
    }

    fn start(mut command: Command, folder: Option<TempDir>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("can't run {command:?}: {error}"));
        let _watchdog = Watchdog::over(child.id(), folder.as_ref().map(TempDir::path));
        let stdout = Output::of(child.stdout.take().expect("standard output is piped"));
        let stderr = Output::of(child.stderr.take().expect("standard error is piped"));
        Self { child, stdout, stderr, _watchdog, _folder: folder }
    }

    fn line_with(&self, part: &str) -> Option<String> {
        let all = [self.stdout(), self.stderr()];
        all.iter().flat_map(|text| text.lines()).find(|line| line.contains(part)).map(str::to_owned)
    }

    fn output(&self) -> String {
        format!("--- stdout\n{}--- stderr\n{}", self.stdout(), self.stderr())
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Output {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let output = Self::default();
        let filled = output.clone();
        std::thread::spawn(move || filled.fill(BufReader::new(pipe)));
        output
    }

    fn fill(&self, mut pipe: impl BufRead) {
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sends a signal to a child that was not waited for yet, so that its id is still its own.
pub(crate) fn signal(child: &Child, signal: Signal) {
    let _ = rustix::process::kill_process(Pid::from_child(child), signal);
}

fn inherited() -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
    INHERITED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

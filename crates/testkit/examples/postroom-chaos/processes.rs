//! Worker and beat processes of a run.

use crate::testbed::Testbed;
use postroom_testkit::Process;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

const START_LIMIT: Duration = Duration::from_secs(60);

/// Program, arguments and variables of one process.
#[derive(Clone, Debug)]
pub(crate) struct ProcessSpec {
    pub(crate) program: &'static str,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
}

impl ProcessSpec {
    /// Returns a worker with this concurrency.
    pub(crate) fn worker(concurrency: usize) -> Self {
        let args = vec!["--concurrency".to_owned(), concurrency.to_string()];
        Self { program: "postroom-worker", args, env: Vec::new() }
    }

    pub(crate) fn beat() -> Self {
        Self { program: "postroom-beat", args: Vec::new(), env: Vec::new() }
    }

    /// Adds environment variables.
    pub(crate) fn with(mut self, env: Vec<(String, String)>) -> Self {
        self.env.extend(env);
        self
    }
}

/// Group of processes that can be killed, frozen and replaced one by one.
#[derive(Debug)]
pub(crate) struct ProcessGroup {
    testbed: Arc<Testbed>,
    specs: Vec<ProcessSpec>,
    processes: Vec<Process>,
    /// Logs of replaced processes.
    past_logs: Vec<String>,
}

impl ProcessGroup {
    /// Starts all processes and waits until each worker is ready.
    pub(crate) async fn start(testbed: &Arc<Testbed>, specs: Vec<ProcessSpec>) -> Self {
        let processes: Vec<Process> = specs.iter().map(|spec| spawn(testbed, spec)).collect();
        for (process, spec) in processes.iter().zip(&specs) {
            if spec.program == "postroom-worker" {
                process.wait_for_line(" serves ", START_LIMIT).await;
            }
        }
        Self { testbed: Arc::clone(testbed), specs, processes, past_logs: Vec::new() }
    }

    /// Starts `number` identical workers.
    pub(crate) async fn workers(testbed: &Arc<Testbed>, number: usize, concurrency: usize) -> Self {
        Self::start(testbed, vec![ProcessSpec::worker(concurrency); number]).await
    }

    pub(crate) fn len(&self) -> usize {
        self.processes.len()
    }

    /// Returns the display name of a process, such as `worker 1`.
    pub(crate) fn name(&self, index: usize) -> String {
        format!("{} {}", self.specs[index].program.trim_start_matches("postroom-"), index + 1)
    }

    /// Returns the peak memory of a process in MB.
    pub(crate) fn peak_mb(&self, index: usize) -> u64 {
        self.processes[index].peak_rss_kb() / 1024
    }

    /// Reads a worker's id from its log.
    pub(crate) fn worker_id(&self, index: usize) -> Option<String> {
        let log = self.processes[index].stderr();
        let line = log.lines().find(|line| line.contains(" serves "))?;
        let mut words = line.split_whitespace().skip_while(|word| *word != "worker").skip(1);
        words.next().map(str::to_owned)
    }

    /// Kills a process (SIGKILL).
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(worker) = self.worker_id(index) {
            self.testbed.mark_killed(worker);
        }
        self.processes[index].kill();
    }

    /// Starts a new process in place of an ended one.
    pub(crate) fn replace(&mut self, index: usize) {
        let new = spawn(&self.testbed, &self.specs[index]);
        let old = std::mem::replace(&mut self.processes[index], new);
        self.past_logs.push(old.stderr());
    }

    /// Freezes a process (SIGSTOP).
    pub(crate) fn freeze(&mut self, index: usize) {
        self.processes[index].stop();
    }

    /// Resumes a process (SIGCONT).
    pub(crate) fn thaw(&mut self, index: usize) {
        self.processes[index].cont();
    }

    /// Requests termination (SIGTERM). [`wait`](Self::wait) waits for the end.
    pub(crate) fn terminate(&mut self, index: usize) {
        self.processes[index].terminate();
    }

    /// Returns the number of running processes.
    pub(crate) fn running(&mut self) -> usize {
        self.processes.iter_mut().map(|process| usize::from(process.is_running())).sum()
    }

    /// Returns the exit status of a process, or `None` if it does not end within `limit`.
    pub(crate) async fn wait(&mut self, index: usize, limit: Duration) -> Option<ExitStatus> {
        let end = tokio::time::Instant::now() + limit;
        while self.processes[index].is_running() {
            if tokio::time::Instant::now() >= end {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Some(self.processes[index].wait(Duration::from_secs(5)).await)
    }

    /// Returns all logs, those of replaced processes first.
    pub(crate) fn logs(&self) -> String {
        let now = self.processes.iter().map(Process::stderr);
        self.past_logs.iter().cloned().chain(now).collect::<Vec<_>>().concat()
    }

    /// Returns the numbers of rescued jobs: (queued again, unknown).
    pub(crate) fn rescued(&self) -> (u64, u64) {
        let logs = self.logs();
        let counts = logs.lines().filter_map(rescued_in);
        counts.fold((0, 0), |(queued, doubt), (more_queued, more_doubt)| (queued + more_queued, doubt + more_doubt))
    }
}

/// Parses a log line such as `…: 3 jobs of lost workers are queued again, 2 are in doubt`.
fn rescued_in(line: &str) -> Option<(u64, u64)> {
    let (before, after) = line.split_once(" jobs of lost workers are queued again, ")?;
    let queued = before.rsplit(' ').next()?.parse().ok()?;
    Some((queued, after.split(' ').next()?.parse().ok()?))
}

fn spawn(testbed: &Testbed, spec: &ProcessSpec) -> Process {
    let mut command = testbed.command(spec.program);
    command.args(&spec.args).envs(spec.env.iter().cloned());
    Process::run(command)
}

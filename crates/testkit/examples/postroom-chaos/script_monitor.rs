//! Number of jobs that script calls touch, counted by Redis's `MONITOR`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Number of characters of a job id after its queue's name.
const ID_LENGTH: usize = 26;

/// Running observation of Redis.
#[derive(Debug)]
pub(crate) struct ScriptMonitor(JoinHandle<ScriptWork>);

/// Observed script calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ScriptWork {
    /// Number of script calls.
    pub(crate) calls: usize,
    /// Number of touched jobs, summed over all calls.
    pub(crate) jobs: usize,
    /// Maximum number of jobs that one call touched.
    pub(crate) most: usize,
}

impl ScriptMonitor {
    pub(crate) fn over(redis: SocketAddr, length: Duration) -> Self {
        Self(tokio::task::spawn_blocking(move || observe(redis, length)))
    }

    pub(crate) async fn end(self) -> ScriptWork {
        self.0.await.expect("no panic")
    }
}

fn observe(redis: SocketAddr, length: Duration) -> ScriptWork {
    let mut stream = TcpStream::connect(redis).expect("connected to Redis");
    stream.set_read_timeout(Some(length)).expect("a limit");
    stream.write_all(b"MONITOR\r\n").expect("command sent");
    let (mut lines, end) = (BufReader::new(stream).lines(), Instant::now() + length);
    let (mut work, mut touched) = (ScriptWork::default(), HashSet::new());
    while let Some(Ok(line)) = lines.next() {
        // The commands of a script directly follow the line of its call.
        if line.contains(" lua] ") {
            touched.extend(ids(&line));
            continue;
        }
        work.jobs += touched.len();
        work.most = work.most.max(touched.len());
        touched.clear();
        if Instant::now() > end {
            break;
        }
        work.calls += usize::from(line.to_ascii_uppercase().contains("] \"EVAL"));
    }
    work
}

/// Returns the job ids in a line.
fn ids(line: &str) -> impl Iterator<Item = String> + '_ {
    let starts = ["bulk-", "emails-"].into_iter().flat_map(|queue| line.match_indices(queue));
    let after = starts.filter_map(|(at, queue)| line.get(at + queue.len()..at + queue.len() + ID_LENGTH));
    after.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())).map(str::to_owned)
}

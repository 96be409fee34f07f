//! How many jobs a call of a script touches, as Redis itself tells (`MONITOR`).

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// The characters of an id behind its queue's name.
const ID: usize = 26;

/// Looks on for a while.
#[derive(Debug)]
pub(crate) struct Watch(JoinHandle<Work>);

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    /// Calls of scripts.
    pub(crate) calls: usize,
    /// Jobs touched, again for each call.
    pub(crate) jobs: usize,
    /// Jobs touched by the call that touched the most.
    pub(crate) most: usize,
}

impl Watch {
    pub(crate) fn over(redis: SocketAddr, length: Duration) -> Self {
        Self(tokio::task::spawn_blocking(move || look_on(redis, length)))
    }

    pub(crate) async fn end(self) -> Work {
        self.0.await.expect("no panic")
    }
}

fn look_on(redis: SocketAddr, length: Duration) -> Work {
    let mut stream = TcpStream::connect(redis).expect("Redis is there");
    stream.set_read_timeout(Some(length)).expect("a limit");
    stream.write_all(b"MONITOR\r\n").expect("Redis listens");
    let (mut lines, end) = (BufReader::new(stream).lines(), Instant::now() + length);
    let (mut work, mut touched) = (Work::default(), HashSet::new());
    while let Some(Ok(line)) = lines.next() {
        // What a script does follows the line of its call; nothing comes between.
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

/// The ids of jobs in a line.
fn ids(line: &str) -> impl Iterator<Item = String> + '_ {
    let starts = ["bulk-", "emails-"].into_iter().flat_map(|queue| line.match_indices(queue));
    let after = starts.filter_map(|(at, queue)| line.get(at + queue.len()..at + queue.len() + ID));
    after.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())).map(str::to_owned)
}

//! Clients that occupy a server's connections, and the latency that a healthy client has beside them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What each client sends before it stops; by turns.
const PARTS: [&str; 4] = [
    "",
    "GET /heal",
    "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: a",
    "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\ntoken=",
];
/// Pause before a client whose connection was closed connects again.
const PAUSE: Duration = Duration::from_millis(500);
/// Interval of further single bytes.
const DRIP: Duration = Duration::from_secs(1);
/// A connection or an answer that takes longer counts as this long.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// Clients that connect, send half a request, one more byte each second, and connect again when the server closes.
#[derive(Debug)]
pub struct SlowClients {
    _tasks: JoinSet<()>,
    connected: Arc<AtomicUsize>,
}

impl SlowClients {
    /// Starts `number` clients and returns once each of them has connected.
    pub async fn start(server: SocketAddr, number: usize) -> Self {
        raise_open_files();
        let (mut tasks, connected) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        for part in PARTS.iter().cycle().take(number) {
            tasks.spawn(occupy(server, part, Arc::clone(&connected)));
        }
        let clients = Self { _tasks: tasks, connected };
        crate::eventually(Duration::from_secs(60), "each slow client has connected", async || {
            (clients.connections() >= number).then_some(())
        })
        .await;
        clients
    }

    /// Number of connections so far, those that the server closed included.
    pub fn connections(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }
}

async fn occupy(server: SocketAddr, part: &'static str, connected: Arc<AtomicUsize>) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(server).await {
            connected.fetch_add(1, Ordering::Relaxed);
            // The server closes it, sooner or later.
            let _ = hold(&mut stream, part).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn hold(stream: &mut TcpStream, part: &str) -> io::Result<()> {
    stream.write_all(part.as_bytes()).await?;
    let mut answer = [0; 64];
    loop {
        match tokio::time::timeout(DRIP, stream.read(&mut answer)).await {
            Ok(Ok(0)) | Ok(Err(_)) => return Ok(()),
            Ok(Ok(_)) => {}
            Err(_) if part.is_empty() => {}
            Err(_) => stream.write_all(b"x").await?,
        }
    }
}

/// The time from connecting to the whole answer of `number` requests one after the other, sorted. Panics when an answer
/// is not 200.
pub async fn latencies(server: SocketAddr, path: &str, number: usize) -> Vec<Duration> {
    let mut all = Vec::new();
    for _ in 0..number {
        let start = Instant::now();
        let answer = tokio::time::timeout(ANSWER_LIMIT, ask(server, path)).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer to {path} within {ANSWER_LIMIT:?}"));
        let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        all.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    all.sort();
    all
}

async fn ask(server: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The 99th percentile of sorted values.
pub fn p99(sorted: &[Duration]) -> Duration {
    sorted[(sorted.len() * 99 / 100).min(sorted.len() - 1)]
}

/// Lets this process open as many files as the system allows.
fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it can't be raised, the connections that fail say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

//! Clients that occupy a server's connections, and the latency of a healthy client meanwhile.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Partial requests, assigned to the clients in rotation.
const PARTS: [&str; 4] = [
    "",
    "GET /heal",
    "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: a",
    "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\ntoken=",
];
/// Pause before a client whose connection was closed connects again.
const PAUSE: Duration = Duration::from_millis(500);
/// Interval between single further bytes.
const DRIP: Duration = Duration::from_secs(1);
/// Maximum time for a connection and its response.
const RESPONSE_LIMIT: Duration = Duration::from_secs(20);

/// Clients that send a partial request, then one byte per second. They reconnect when the server
/// closes the connection.
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

    /// Returns the number of connections so far, including those that the server closed.
    pub fn connections(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }
}

async fn occupy(server: SocketAddr, part: &'static str, connected: Arc<AtomicUsize>) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(server).await {
            connected.fetch_add(1, Ordering::Relaxed);
            // The server eventually closes the connection.
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

/// Sends `number` requests in sequence and returns their sorted times from connect to the complete
/// response.
///
/// Panics if a status is not 200.
pub async fn latencies(server: SocketAddr, path: &str, number: usize) -> Vec<Duration> {
    let mut all = Vec::new();
    for _ in 0..number {
        let start = Instant::now();
        let answer = tokio::time::timeout(RESPONSE_LIMIT, ask(server, path)).await;
        let answer = answer.unwrap_or_else(|_| panic!("no response from {path} within {RESPONSE_LIMIT:?}"));
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

/// Returns the 99th percentile of sorted values.
pub fn p99(sorted: &[Duration]) -> Duration {
    sorted[(sorted.len() * 99 / 100).min(sorted.len() - 1)]
}

/// Raises the limit of open files of this process to its maximum.
fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If this fails, later connection errors show it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

//! The network that can be bad.

use postroom_testkit::{Proxy, eventually};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(150);

/// A server that says everything back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.into_split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    addr
}

/// What comes back within the limit: `None` is silence.
async fn ask(stream: &mut TcpStream, limit: Duration) -> Option<std::io::Result<String>> {
    let exchange = async {
        stream.write_all(b"hello").await?;
        let mut answer = vec![0; 5];
        stream.read_exact(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    timeout(limit, exchange).await.ok()
}

async fn client(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.addr()).await.expect("the proxy accepts")
}

async fn is_answered(stream: &mut TcpStream) -> bool {
    matches!(ask(stream, LIMIT).await, Some(Ok(answer)) if answer == "hello")
}

#[tokio::test]
async fn it_passes_and_counts() {
    let proxy = Proxy::start(echo().await);
    let mut first = client(&proxy).await;
    assert!(is_answered(&mut first).await && is_answered(&mut client(&proxy).await).await);
    eventually(LIMIT, "one is closed", async || (proxy.open_connections() == 1).then_some(())).await;
    assert_eq!(proxy.connections(), 2);
    first.shutdown().await.expect("closed");
    assert_eq!(first.read(&mut [0; 1]).await.expect("the end"), 0);
}

#[tokio::test]
async fn old_connections_fall_silent_and_new_ones_pass() {
    let proxy = Proxy::start(echo().await);
    let mut old = client(&proxy).await;
    assert!(is_answered(&mut old).await);
    proxy.black_hole_existing();
    assert!(ask(&mut old, SHORT).await.is_none() && is_answered(&mut client(&proxy).await).await);
    proxy.pass();
    assert!(ask(&mut old, SHORT).await.is_none());
    proxy.reset();
    let ended = timeout(LIMIT, old.read(&mut [0; 1])).await.expect("it ends");
    assert_eq!(ended.expect_err("broken").kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn nothing_passes_until_it_passes_again() {
    let proxy = Proxy::start(echo().await);
    proxy.black_hole_all();
    let mut silent = client(&proxy).await;
    assert!(ask(&mut silent, SHORT).await.is_none());
    proxy.pass();
    assert!(is_answered(&mut client(&proxy).await).await && ask(&mut silent, SHORT).await.is_none());
}

#[tokio::test]
async fn bytes_come_late_and_in_order() {
    let proxy = Proxy::start(echo().await);
    proxy.delay(Duration::from_millis(100));
    let (mut stream, start) = (client(&proxy).await, Instant::now());
    assert!(is_answered(&mut stream).await);
    assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
    proxy.pass();
    proxy.delay_answers(Duration::from_millis(100));
    let start = Instant::now();
    assert!(is_answered(&mut stream).await);
    assert!(start.elapsed() >= Duration::from_millis(100), "{:?}", start.elapsed());
}

#[tokio::test]
async fn without_a_server_behind_it_turns_away_and_leads_elsewhere() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let proxy = Proxy::start(gone);
    // The reset may come as early as the connecting.
    let answer = match TcpStream::connect(proxy.addr()).await {
        Ok(mut stream) => ask(&mut stream, LIMIT).await.expect("an end"),
        Err(reset) => Err(reset),
    };
    answer.expect_err("nobody is behind it");
    proxy.lead_to(echo().await);
    assert!(is_answered(&mut client(&proxy).await).await);
}

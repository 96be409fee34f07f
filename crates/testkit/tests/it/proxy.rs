//! Tests of the proxy.

use postroom_testkit::{Proxy, eventually};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(150);

/// Starts an echo server.
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

/// Sends five bytes and returns the echo, or `None` without any within `limit`.
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
async fn connections_pass_and_are_counted() {
    let proxy = Proxy::start(echo().await);
    let mut first = client(&proxy).await;
    assert!(is_answered(&mut first).await && is_answered(&mut client(&proxy).await).await);
    eventually(LIMIT, "one connection is closed", async || (proxy.open_connections() == 1).then_some(())).await;
    assert_eq!(proxy.connections(), 2);
    first.shutdown().await.expect("closed");
    assert_eq!(first.read(&mut [0; 1]).await.expect("end of stream"), 0);
}

#[tokio::test]
async fn existing_connections_are_black_holed_and_new_ones_pass() {
    let proxy = Proxy::start(echo().await);
    let mut old = client(&proxy).await;
    assert!(is_answered(&mut old).await);
    proxy.black_hole_existing();
    assert!(ask(&mut old, SHORT).await.is_none() && is_answered(&mut client(&proxy).await).await);
    proxy.pass();
    assert!(ask(&mut old, SHORT).await.is_none());
    proxy.reset();
    let ended = timeout(LIMIT, old.read(&mut [0; 1])).await.expect("the connection ends");
    assert_eq!(ended.expect_err("broken").kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn all_connections_are_black_holed_until_pass() {
    let proxy = Proxy::start(echo().await);
    proxy.black_hole_all();
    let mut silent = client(&proxy).await;
    assert!(ask(&mut silent, SHORT).await.is_none());
    proxy.pass();
    assert!(is_answered(&mut client(&proxy).await).await && ask(&mut silent, SHORT).await.is_none());
}

#[tokio::test]
async fn bytes_are_delayed_in_order() {
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
async fn connections_are_reset_without_an_upstream_server_and_can_be_redirected() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let proxy = Proxy::start(gone);
    // The reset may already fail the connect.
    let answer = match TcpStream::connect(proxy.addr()).await {
        Ok(mut stream) => ask(&mut stream, LIMIT).await.expect("a result"),
        Err(reset) => Err(reset),
    };
    answer.expect_err("there is no upstream server");
    proxy.lead_to(echo().await);
    assert!(is_answered(&mut client(&proxy).await).await);
}

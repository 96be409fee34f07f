//! Tests of the process.

use std::{net::SocketAddr, time::Duration};

use postroom_core::{Store, store::CapturedMail};
use postroom_testkit::{PrivateRedis, Process, eventually, unique_prefix};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{browser::request, fixture::settings};

const LIMIT: Duration = Duration::from_secs(30);
const PROGRAM: &str = env!("CARGO_BIN_EXE_postroom-monitor");

#[tokio::test]
async fn the_monitor_listens_and_stops() {
    let (redis, prefix) = (PrivateRedis::shared().url(), unique_prefix());
    let envs = [("REDIS_URL", redis.as_str()), ("POSTROOM_PREFIX", &prefix), ("MONITOR_PORT", "0")];
    let mut process = Process::spawn(PROGRAM, &[], &envs);
    let line = process.wait_for_line("listening on http://127.0.0.1:", LIMIT).await;
    let at = line.split("http://").nth(1).unwrap().trim().parse().expect("an address with the port");
    eventually(LIMIT, "a page", async || (request(at, "GET", "/", &[], "").await.status == 200).then_some(())).await;
    process.terminate();
    assert!(process.wait(LIMIT).await.success(), "{}", process.stderr());
}

/// A client that never reads would otherwise block the response, and thereby the stop.
#[tokio::test]
async fn a_stuck_connection_does_not_prevent_the_stop() {
    let settings = settings(&PrivateRedis::shared().url(), &[]);
    let store = Store::connect(&settings.redis).await.unwrap();
    let message = vec![b'x'; 12_000_000];
    let mail = CapturedMail { mail_from: None, rcpt_to: Vec::new(), subject: String::new(), message };
    let id = store.capture(&mail).await.unwrap();
    let envs = [("POSTROOM_PREFIX", settings.redis.prefix.as_str())];
    let url = PrivateRedis::shared().url();
    let mut process = Process::spawn(PROGRAM, &["--port", "0", "--redis-url", &url], &envs);
    let line = process.wait_for_line("listening on http://", LIMIT).await;
    let at: SocketAddr = line.split("http://").nth(1).unwrap().trim().parse().unwrap();
    eventually(LIMIT, "it is healthy", async || {
        (request(at, "GET", "/healthz", &[], "").await.status == 200).then_some(())
    })
    .await;
    let mut stuck = TcpStream::connect(at).await.unwrap();
    let request = format!("GET /captured/{id}/raw HTTP/1.1\r\nHost: {at}\r\n\r\n");
    stuck.write_all(request.as_bytes()).await.unwrap();
    stuck.read_exact(&mut [0; 100]).await.unwrap();
    process.terminate();
    assert!(process.wait(LIMIT).await.success(), "{}", process.stderr());
}

#[tokio::test]
async fn a_reachable_address_requires_a_password() {
    for (args, envs) in [(vec![], vec![("BIND", "0.0.0.0")]), (vec!["--bind", "::"], vec![])] {
        let mut process = Process::spawn(PROGRAM, &args, &envs);
        assert_eq!(process.wait(LIMIT).await.code(), Some(2));
        let log = process.stderr();
        assert!(log.starts_with("error: BIND: ") && log.contains("set MONITOR_PASSWORD"), "{log}");
    }
    for open in [("BIND", "0.0.0.0"), ("TRUSTED_PROXIES", "127.0.0.1")] {
        let mut process = Process::spawn(PROGRAM, &[], &[open, ("MONITOR_PASSWORD", "7 chars")]);
        assert_eq!(process.wait(LIMIT).await.code(), Some(2));
        let log = process.stderr();
        assert!(log.starts_with("error: MONITOR_PASSWORD: ") && log.contains("at least 8 characters"), "{log}");
    }
    let envs = [("BIND", "0.0.0.0"), ("MONITOR_PORT", "0"), ("MONITOR_PASSWORD", "eight ch")];
    let process = Process::spawn(PROGRAM, &[], &envs);
    process.wait_for_line("listening on http://0.0.0.0:", LIMIT).await;
}

#[tokio::test]
async fn invalid_settings_are_reported_by_name() {
    for (args, envs, words) in [
        (vec!["--port", "http"], vec![], "--port"),
        (vec![], vec![("MONITOR_PORT", "70000")], "MONITOR_PORT"),
        (vec!["--log-level", "loud"], vec![], "--log-level"),
        (vec!["--queues", "emails"], vec![], "--queues"),
        (vec!["--redis-url", "nowhere"], vec![], "--redis-url"),
    ] {
        let mut process = Process::spawn(PROGRAM, &args, &envs);
        assert_eq!(process.wait(LIMIT).await.code(), Some(2), "{words}");
        assert!(process.stderr().contains(words), "{words}: {}", process.stderr());
    }
}

/// A restart does not help against a refusal by Redis, so the monitor ends as worker and beat do.
#[tokio::test]
async fn a_refused_connection_to_redis_ends_the_monitor() {
    let redis = PrivateRedis::start_tcp().await;
    redis.ask(&["CONFIG", "SET", "requirepass", "right"]);
    for (place, words) in
        [("", "requires a password"), (":wrong@", "REDIS_URL"), (":right@", "no database of this number")]
    {
        let database = if place == ":right@" { "/99" } else { "" };
        let url = format!("redis://{place}{}{database}", redis.addr());
        let mut process = Process::spawn(PROGRAM, &["--port", "0", "--redis-url", &url], &[]);
        assert_eq!(process.wait(LIMIT).await.code(), Some(2), "{}", process.stderr());
        assert!(process.stderr().contains("error: REDIS_URL: "), "{}", process.stderr());
        assert!(process.stderr().contains(words), "{}", process.stderr());
    }
}

#[tokio::test]
async fn a_short_password_on_a_loopback_address_causes_a_warning() {
    let redis = PrivateRedis::shared().url();
    let envs = [("MONITOR_PASSWORD", "short"), ("REDIS_URL", redis.as_str()), ("MONITOR_PORT", "0")];
    let process = Process::spawn(PROGRAM, &[], &envs);
    process.wait_for_line("MONITOR_PASSWORD has 5 characters, so it can be guessed: use at least 8", LIMIT).await;
}

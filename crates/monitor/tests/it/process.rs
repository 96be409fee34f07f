//! The program itself.

use std::time::Duration;

use postroom_testkit::{PrivateRedis, Process, unique_prefix};

use crate::browser::ask;

const LIMIT: Duration = Duration::from_secs(30);
const PROGRAM: &str = env!("CARGO_BIN_EXE_postroom-monitor");

#[tokio::test]
async fn it_listens_and_stops() {
    let (redis, prefix) = (PrivateRedis::shared().url(), unique_prefix());
    let envs = [("REDIS_URL", redis.as_str()), ("POSTROOM_PREFIX", &prefix), ("MONITOR_PORT", "0")];
    let mut process = Process::spawn(PROGRAM, &[], &envs);
    let line = process.wait_for_line("listening on http://127.0.0.1:", LIMIT).await;
    let at = line.split("http://").nth(1).unwrap().trim().parse().expect("an address with the port");
    assert_eq!(ask(at, "GET", "/", &[], "").await.status, 200);
    process.terminate();
    assert!(process.wait(LIMIT).await.success(), "{}", process.stderr());
}

#[tokio::test]
async fn a_connection_that_is_kept_open_does_not_keep_it_from_stopping() {
    let redis = PrivateRedis::shared().url();
    let mut process = Process::spawn(PROGRAM, &["--port", "0", "--redis-url", &redis], &[]);
    let line = process.wait_for_line("listening on http://", LIMIT).await;
    let at = line.split("http://").nth(1).unwrap().trim().to_owned();
    let mut open = tokio::net::TcpStream::connect(&at).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut open, b"GET / HTTP/1.1\r\nHost: localh").await.unwrap();
    process.terminate();
    assert!(process.wait(LIMIT).await.success(), "{}", process.stderr());
}

#[tokio::test]
async fn others_may_not_look_without_a_password() {
    for (args, envs) in [(vec![], vec![("BIND", "0.0.0.0")]), (vec!["--bind", "::"], vec![])] {
        let mut process = Process::spawn(PROGRAM, &args, &envs);
        assert_eq!(process.wait(LIMIT).await.code(), Some(2));
        let said = process.stderr();
        assert!(said.starts_with("error: BIND: ") && said.contains("set MONITOR_PASSWORD"), "{said}");
    }
    let envs = [("BIND", "0.0.0.0"), ("MONITOR_PORT", "0"), ("MONITOR_PASSWORD", "secret")];
    let process = Process::spawn(PROGRAM, &[], &envs);
    process.wait_for_line("listening on http://0.0.0.0:", LIMIT).await;
}

#[tokio::test]
async fn bad_settings_are_named() {
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

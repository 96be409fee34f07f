//! Requirements for a start, and the errors when they are missing.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use postroom_testkit::{Process, eventually, target_bin};

use crate::fixture::{Fixture, LIMIT};

async fn refusal(env: &[(&str, &str)], args: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(target_bin("postroom-worker"));
    command.args(args).current_dir(folder.path()).env_clear().envs(env.iter().copied());
    let mut process = Process::run(command);
    let status = process.wait(LIMIT).await;
    assert_eq!(status.code(), Some(2), "{}", process.stderr());
    process.stderr()
}

#[tokio::test]
async fn a_worker_without_a_transport_does_not_start() {
    let error = refusal(&[], &[]).await;
    for word in ["SMTP_HOST", "MAIL_TRANSPORT", "[transport"] {
        assert!(error.contains(word), "{error}");
    }
}

#[tokio::test]
async fn wrong_settings_are_named_in_the_error() {
    for (env, word) in [
        (("QUEUES", "Bad Queue"), "QUEUES"),
        (("CONCURRENCY", "many"), "CONCURRENCY"),
        (("POSTROOM_PREFIXX", "x"), "POSTROOM_PREFIXX"),
        (("SHUTDOWN_TIMEOUT", "25"), "SHUTDOWN_TIMEOUT"),
    ] {
        let error = refusal(&[("MAIL_TRANSPORT", "discard"), env], &[]).await;
        assert!(error.contains(word), "{error}");
    }
    let error = refusal(&[("MAIL_TRANSPORT", "discard")], &["--queues", "no spaces"]).await;
    assert!(error.contains("no spaces"), "{error}");
}

#[tokio::test]
async fn dangerous_settings_are_logged_as_warnings() {
    let mut fixture = Fixture::new().await;
    // Not a loopback address, as far as the settings show.
    let more = [("SMTP_HOST", "0.0.0.0"), ("SMTP_USERNAME", "ada"), ("SMTP_PASSWORD", "correct horse")];
    fixture.env.retain(|(name, _)| name != "SMTP_HOST");
    fixture.env.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
    fixture.env.push(("NOTIFY_WEBHOOK_SECRET".to_owned(), "short".to_owned()));
    let worker = fixture.worker(&[]).await;
    let log = worker.stderr();
    for warning in ["transport default sends its password to 0.0.0.0 without TLS", "NOTIFY_WEBHOOK_SECRET has 5 bytes"]
    {
        let line = log.lines().find(|line| line.contains(warning));
        assert!(line.is_some_and(|line| line.contains("WARN")), "{warning}: {log}");
    }
    assert!(!log.contains("correct horse"), "{log}");
    assert!(!Fixture::new().await.worker(&[]).await.stderr().contains("without TLS"));
}

#[tokio::test]
async fn a_worker_reports_its_health_and_state() {
    let mut fixture = Fixture::new().await;
    fixture.env.push(("HEALTH_PORT".to_owned(), "0".to_owned()));
    let worker = fixture.worker(&["--queues", "emails"]).await;
    let log = worker.stderr();
    let address = log.split("health at http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("written");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    let info = eventually(LIMIT, "the worker reports", async || fixture.store.workers().await.ok()?.pop()).await;
    assert_eq!((info.state.as_str(), info.queues), ("running", vec![fixture.queue.clone()]));
}

#[tokio::test]
async fn a_stopped_worker_deregisters() {
    let fixture = Fixture::new().await;
    let mut worker = fixture.worker(&[]).await;
    eventually(LIMIT, "the worker reports", async || fixture.store.workers().await.ok()?.pop()).await;
    worker.terminate();
    assert_eq!(worker.wait(LIMIT).await.code(), Some(0));
    assert_eq!(fixture.store.workers().await.expect("workers"), []);
}

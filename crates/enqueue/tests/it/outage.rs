//! Redis away: said within seconds, exit code 3.

use std::time::{Duration, Instant};

use postroom_testkit::{PrivateRedis, Process};

use crate::{Desk, desk::LIMIT};

#[tokio::test]
async fn a_redis_that_is_gone() {
    let redis = PrivateRedis::start_tcp().await;
    let desk = Desk::at(&redis.url());
    let id = desk.send(&[]);
    redis.kill();
    let start = Instant::now();
    let place = redis.url();
    for args in [
        &["send", "--to", "a@example.org", "--subject", "s", "--text", "t"][..],
        &["status", &id],
        &["cancel", &id],
        &["queues"],
        &["bulk", "--jsonl", "mails.jsonl"],
    ] {
        desk.file("mails.jsonl", r#"{"to": "a@example.org", "subject": "s", "text": "t"}"#);
        desk.run(args).refused(3, &["Redis is unavailable", &place]);
    }
    let ran = desk.run(&["queues", "--json"]);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).expect("JSON");
    assert_eq!((ran.code, &error["error"]["code"]), (3, &"redis_away".into()));
    let ran = desk.run(&["doctor"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.contains("FAIL redis:"), "{ran:?}");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    // What is wrong with the mail is said all the same.
    desk.run(&["send", "--to", "a", "--subject", "s", "--text", "t"]).refused(2, &["no @"]);
}

#[tokio::test]
async fn a_redis_that_is_full() {
    let redis = PrivateRedis::start_tcp().await;
    let desk = Desk::at(&redis.url());
    desk.send(&[]);
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let ran = desk.run(&["send", "--to", "a@example.org", "--subject", "s", "--text", "t", "--json"]);
    let last = ran.stderr.lines().last().unwrap_or_default();
    let error: serde_json::Value = serde_json::from_str(last).expect("JSON");
    assert_eq!((ran.code, &error["error"]["code"]), (3, &"redis_full".into()), "{ran:?}");
}

#[tokio::test]
async fn who_looks_on_goes_on_when_redis_is_back() {
    let redis = PrivateRedis::start_tcp().await;
    let desk = Desk::at(&redis.url());
    let id = desk.send(&["--durable"]);
    let mut command = desk.command();
    command.args(["status", &id, "--watch"]);
    let mut watch = Process::run(command);
    watch.wait_for_line("is queued", LIMIT).await;
    for _ in 0..2 {
        // Lost connections are none of its business.
        redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(!watch.stderr().contains("away"), "{}", watch.stderr());
    redis.kill();
    watch.wait_for_line("Redis is unavailable", LIMIT).await;
    redis.start_again().await;
    watch.wait_for_line("Redis is back", LIMIT).await;
    desk.ok(&["cancel", &id]);
    assert_eq!(watch.wait(LIMIT).await.code(), Some(1));
    for said in ["Redis is unavailable", "Redis is back"] {
        assert_eq!(watch.stderr().matches(said).count(), 1, "{}", watch.stderr());
    }
}

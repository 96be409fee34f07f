//! Outages of Redis: reported within seconds, exit code 3.

use std::time::{Duration, Instant};

use postroom_testkit::{PrivateRedis, Process};

use crate::fixture::{Fixture, LIMIT};

#[tokio::test]
async fn an_unreachable_redis_is_exit_code_3() {
    let redis = PrivateRedis::start_tcp().await;
    let fixture = Fixture::at(&redis.url());
    let id = fixture.send(&[]);
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
        fixture.file("mails.jsonl", r#"{"to": "a@example.org", "subject": "s", "text": "t"}"#);
        fixture.run(args).refused(3, &["Redis is unavailable", &place]);
    }
    let ran = fixture.run(&["queues", "--json"]);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).expect("JSON");
    assert_eq!((ran.code, &error["error"]["code"]), (3, &"redis_away".into()));
    let ran = fixture.run(&["doctor"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.contains("FAIL redis:"), "{ran:?}");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    // Invalid input is reported even during an outage.
    fixture.run(&["send", "--to", "a", "--subject", "s", "--text", "t"]).refused(2, &["no @"]);
}

#[tokio::test]
async fn a_full_redis_is_exit_code_3() {
    let redis = PrivateRedis::start_tcp().await;
    let fixture = Fixture::at(&redis.url());
    fixture.send(&[]);
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let ran = fixture.run(&["send", "--to", "a@example.org", "--subject", "s", "--text", "t", "--json"]);
    let last = ran.stderr.lines().last().unwrap_or_default();
    let error: serde_json::Value = serde_json::from_str(last).expect("JSON");
    assert_eq!((ran.code, &error["error"]["code"]), (3, &"redis_full".into()), "{ran:?}");
}

#[tokio::test]
async fn watching_continues_after_an_outage() {
    let redis = PrivateRedis::start_tcp().await;
    let fixture = Fixture::at(&redis.url());
    let id = fixture.send(&["--durable"]);
    let mut command = fixture.command();
    command.args(["status", &id, "--watch"]);
    let mut watch = Process::run(command);
    watch.wait_for_line("is queued", LIMIT).await;
    for _ in 0..2 {
        // Lost connections are not reported.
        redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(!watch.stderr().contains("unavailable"), "{}", watch.stderr());
    redis.kill();
    watch.wait_for_line("Redis is unavailable", LIMIT).await;
    redis.start_again().await;
    watch.wait_for_line("Redis is available again", LIMIT).await;
    fixture.ok(&["cancel", &id]);
    assert_eq!(watch.wait(LIMIT).await.code(), Some(1));
    for notice in ["Redis is unavailable", "Redis is available again"] {
        assert_eq!(watch.stderr().matches(notice).count(), 1, "{}", watch.stderr());
    }
}

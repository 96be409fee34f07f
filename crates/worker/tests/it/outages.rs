//! Redis cut off, stalled, or gone for a moment.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use postroom_core::JobState;
use postroom_testkit::{FakeSmtp, PrivateRedis, Process, Proxy, eventually};

use crate::bench::{Bench, LIMIT, mail_to};

const AWAY: &str = "Redis is unavailable";
const BACK: &str = "Redis is available again";

/// A bench whose workers reach Redis by the proxy, and the test directly.
async fn bench_behind(proxy: &Proxy, redis: &PrivateRedis) -> Bench {
    let mut bench = Bench::on(redis, FakeSmtp::start().await).await;
    for (name, value) in &mut bench.env {
        if name == "REDIS_URL" {
            *value = format!("redis://{}", proxy.addr());
        }
    }
    bench
}

fn said(worker: &Process, what: &str) -> usize {
    worker.stderr().lines().filter(|line| line.contains(what)).count()
}

async fn a_mail_is_sent(bench: &Bench) -> Duration {
    let start = Instant::now();
    let id = bench.enqueue(mail_to("ann@example.org")).await;
    bench.reaches(&id, JobState::Sent).await;
    start.elapsed()
}

#[tokio::test]
async fn behind_dead_connections_the_next_mail_goes_out_soon_and_a_stop_is_heard() {
    let redis = PrivateRedis::start_tcp().await;
    let proxy = Proxy::start(redis.addr());
    let bench = bench_behind(&proxy, &redis).await;
    let mut worker = bench.worker(&[]).await;
    a_mail_is_sent(&bench).await;
    proxy.black_hole_existing();
    let took = a_mail_is_sent(&bench).await;
    assert!(took < Duration::from_secs(15), "{took:?} {}", worker.stderr());

    proxy.black_hole_existing();
    worker.terminate();
    let start = Instant::now();
    assert_eq!(worker.wait(LIMIT).await.code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?} {}", start.elapsed(), worker.stderr());
}

#[tokio::test]
async fn a_stop_is_heard_when_the_network_is_dead() {
    let redis = PrivateRedis::start_tcp().await;
    let proxy = Proxy::start(redis.addr());
    let bench = bench_behind(&proxy, &redis).await;
    for is_noticed in [false, true] {
        proxy.pass();
        let mut worker = bench.worker(&[]).await;
        a_mail_is_sent(&bench).await;
        // What became of a mail is said for as long as a stop may take; this is about a worker that has nothing to say.
        tokio::time::sleep(Duration::from_secs(1)).await;
        proxy.black_hole_all();
        if is_noticed {
            worker.wait_for_line(AWAY, LIMIT).await;
        }
        worker.terminate();
        let start = Instant::now();
        assert_eq!(worker.wait(LIMIT).await.code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(10), "{:?} {}", start.elapsed(), worker.stderr());
    }
}

#[tokio::test]
async fn a_stalled_redis_is_told_once_and_work_goes_on() {
    let redis = PrivateRedis::start_tcp().await;
    let bench = Bench::on(&redis, FakeSmtp::start().await).await;
    let worker = bench.worker(&[]).await;
    a_mail_is_sent(&bench).await;
    redis.ask(&["CLIENT", "PAUSE", "14000", "ALL"]);
    worker.wait_for_line(AWAY, LIMIT).await;
    worker.wait_for_line(BACK, LIMIT).await;
    eventually(LIMIT, "the test's own connection", async || bench.store.ping().await.ok()).await;
    let took = a_mail_is_sent(&bench).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!((said(&worker, AWAY), said(&worker, BACK)), (1, 1), "{}", worker.stderr());
}

#[tokio::test]
async fn a_connection_lost_is_no_outage() {
    let redis = PrivateRedis::start_tcp().await;
    let proxy = Proxy::start(redis.addr());
    let bench = bench_behind(&proxy, &redis).await;
    let worker = bench.worker(&[]).await;
    for _ in 0..3 {
        proxy.reset();
        let took = a_mail_is_sent(&bench).await;
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    assert_eq!((said(&worker, AWAY), said(&worker, "ERROR")), (0, 0), "{}", worker.stderr());
}

/// Redis forgets that mails were sent, and is away for longer than its workers remember anything while it answers.
#[tokio::test]
async fn what_was_sent_before_a_long_absence_is_not_sent_again() {
    let redis = PrivateRedis::builder().tcp().remembers().start().await;
    let bench = Bench::on(&redis, FakeSmtp::start().await).await;
    let _worker = bench.worker(&[]).await;
    bench.store.pause(&bench.queue).await.expect("paused");
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(bench.enqueue(mail_to(&format!("user{number}@example.org"))).await);
    }
    // All of that is on disk before the second that is lost.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    bench.store.resume(&bench.queue).await.expect("resumed");
    for id in &ids {
        bench.reaches(id, JobState::Sent).await;
    }
    redis.kill_and_cut_back(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(12)).await;
    redis.start_again().await;
    let after = eventually(LIMIT, "Redis is back", async || {
        bench.store.resume(&bench.queue).await.ok()?;
        Some(bench.enqueue(mail_to("after@example.org")).await)
    })
    .await;
    bench.reaches(&after, JobState::Sent).await;
    for id in &ids {
        bench.reaches(id, JobState::Sent).await;
    }
    let arrived = bench.arrived();
    assert_eq!(arrived.iter().collect::<BTreeSet<_>>().len(), arrived.len(), "none twice: {arrived:?}");
}

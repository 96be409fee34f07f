//! Redis cut off, stalled, or gone for a moment.

use std::time::{Duration, Instant};

use postroom_core::JobState;
use postroom_testkit::{FakeSmtp, PrivateRedis, Process, Proxy, eventually};

use crate::bench::{Bench, LIMIT, mail_to};

const AWAY: &str = "Redis is away";
const BACK: &str = "Redis is back";

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

//! Outages of Redis: cut off, stalled, or gone for a moment.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use postroom_core::JobState;
use postroom_testkit::{FakeSmtp, PrivateRedis, Process, Proxy, eventually};

use crate::fixture::{Fixture, LIMIT, mail_to};

const AWAY: &str = "Redis is unavailable";
const BACK: &str = "Redis is available again";

/// Returns a fixture whose workers reach Redis through the proxy; the test connects directly.
async fn fixture_behind(proxy: &Proxy, redis: &PrivateRedis) -> Fixture {
    let mut fixture = Fixture::on(redis, FakeSmtp::start().await).await;
    for (name, value) in &mut fixture.env {
        if name == "REDIS_URL" {
            *value = format!("redis://{}", proxy.addr());
        }
    }
    fixture
}

fn count_lines(worker: &Process, text: &str) -> usize {
    worker.stderr().lines().filter(|line| line.contains(text)).count()
}

async fn a_mail_is_sent(fixture: &Fixture) -> Duration {
    let start = Instant::now();
    let id = fixture.enqueue(mail_to("ann@example.org")).await;
    fixture.reaches(&id, JobState::Sent).await;
    start.elapsed()
}

#[tokio::test]
async fn behind_dead_connections_mail_is_sent_soon_and_a_stop_works() {
    let redis = PrivateRedis::start_tcp().await;
    let proxy = Proxy::start(redis.addr());
    let fixture = fixture_behind(&proxy, &redis).await;
    let mut worker = fixture.worker(&[]).await;
    a_mail_is_sent(&fixture).await;
    proxy.black_hole_existing();
    let took = a_mail_is_sent(&fixture).await;
    assert!(took < Duration::from_secs(15), "{took:?} {}", worker.stderr());

    proxy.black_hole_existing();
    worker.terminate();
    let start = Instant::now();
    assert_eq!(worker.wait(LIMIT).await.code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?} {}", start.elapsed(), worker.stderr());
}

#[tokio::test]
async fn a_stop_works_while_the_network_is_dead() {
    let redis = PrivateRedis::start_tcp().await;
    let proxy = Proxy::start(redis.addr());
    let fixture = fixture_behind(&proxy, &redis).await;
    for is_noticed in [false, true] {
        proxy.pass();
        let mut worker = fixture.worker(&[]).await;
        a_mail_is_sent(&fixture).await;
        // A stopping worker repeats settlements for as long as a stop may take. Here it has none
        // left.
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
async fn a_stalled_redis_is_logged_once_and_work_continues() {
    let redis = PrivateRedis::start_tcp().await;
    let fixture = Fixture::on(&redis, FakeSmtp::start().await).await;
    let worker = fixture.worker(&[]).await;
    a_mail_is_sent(&fixture).await;
    redis.ask(&["CLIENT", "PAUSE", "14000", "ALL"]);
    worker.wait_for_line(AWAY, LIMIT).await;
    worker.wait_for_line(BACK, LIMIT).await;
    eventually(LIMIT, "the test's own connection", async || fixture.store.ping().await.ok()).await;
    let took = a_mail_is_sent(&fixture).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!((count_lines(&worker, AWAY), count_lines(&worker, BACK)), (1, 1), "{}", worker.stderr());
}

#[tokio::test]
async fn a_lost_connection_is_no_outage() {
    let redis = PrivateRedis::start_tcp().await;
    let proxy = Proxy::start(redis.addr());
    let fixture = fixture_behind(&proxy, &redis).await;
    let worker = fixture.worker(&[]).await;
    for _ in 0..3 {
        proxy.reset();
        let took = a_mail_is_sent(&fixture).await;
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    assert_eq!((count_lines(&worker, AWAY), count_lines(&worker, "ERROR")), (0, 0), "{}", worker.stderr());
}

/// Redis loses the settlements of sent mails and is away for longer than the retention of the
/// replay log.
#[tokio::test]
async fn mail_sent_before_a_long_outage_is_not_sent_again() {
    let redis = PrivateRedis::builder().tcp().records_aof_size().start().await;
    let fixture = Fixture::on(&redis, FakeSmtp::start().await).await;
    let _worker = fixture.worker(&[]).await;
    fixture.store.pause(&fixture.queue).await.expect("paused");
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(fixture.enqueue(mail_to(&format!("user{number}@example.org"))).await);
    }
    // The jobs are on disk before the second that is lost.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    fixture.store.resume(&fixture.queue).await.expect("resumed");
    for id in &ids {
        fixture.reaches(id, JobState::Sent).await;
    }
    redis.kill_and_cut_back(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(12)).await;
    redis.start_again().await;
    let after = eventually(LIMIT, "Redis is back", async || {
        fixture.store.resume(&fixture.queue).await.ok()?;
        Some(fixture.enqueue(mail_to("after@example.org")).await)
    })
    .await;
    fixture.reaches(&after, JobState::Sent).await;
    for id in &ids {
        fixture.reaches(id, JobState::Sent).await;
    }
    let arrived = fixture.arrived();
    assert_eq!(arrived.iter().collect::<BTreeSet<_>>().len(), arrived.len(), "a mail was sent twice: {arrived:?}");
}

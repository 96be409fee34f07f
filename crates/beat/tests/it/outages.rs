//! Outages of Redis.

use std::time::Duration;

use postroom_testkit::{PrivateRedis, eventually};

use crate::fixture::{EACH_SECOND, Fixture, LIMIT};

fn count(text: &str, part: &str) -> usize {
    text.lines().filter(|line| line.contains(part)).count()
}

#[tokio::test]
async fn no_firing_is_lost_when_redis_is_killed_and_restarted() {
    let redis = PrivateRedis::start_tcp().await;
    let fixture = Fixture::on(&redis).await;
    fixture.write(EACH_SECOND);
    let mut beat = fixture.process_with(&[("HEALTH_PORT", "0")]);
    let health = beat.wait_for_line("health at ", LIMIT).await;
    let address = health.rsplit_once("http://").expect("an address").1.trim_end_matches("/healthz").to_owned();
    fixture.mails(2).await;
    assert!(request_health(&address).await.starts_with("HTTP/1.1 200 "));

    redis.kill();
    beat.wait_for_line("Redis is unavailable", LIMIT).await;
    assert!(request_health(&address).await.starts_with("HTTP/1.1 503 "));
    tokio::time::sleep(Duration::from_secs(2)).await;
    redis.start_again().await;
    beat.wait_for_line("Redis is available again", LIMIT).await;
    fixture.mails(7).await;

    beat.terminate();
    assert_eq!(beat.wait(LIMIT).await.code(), Some(0));
    let log = beat.stderr();
    let (outages, ends) = (count(&log, "Redis is unavailable"), count(&log, "Redis is available again"));
    assert_eq!((outages, ends), (1, 1), "{log}");
    assert!(fixture.assert_each_time_once(None).await >= 7);
}

#[tokio::test]
async fn schedules_are_stored_again_when_redis_restarts_empty() {
    let redis = PrivateRedis::start_tcp().await;
    let fixture = Fixture::on(&redis).await;
    fixture.write(EACH_SECOND);
    let beat = fixture.process();
    fixture.mails(1).await;
    redis.ask(&["FLUSHALL"]);
    redis.kill();
    beat.wait_for_line("Redis is unavailable", LIMIT).await;
    redis.start_again().await;
    fixture.mails(2).await;
    assert!(fixture.assert_each_time_once(None).await >= 2);
}

#[tokio::test]
async fn a_beat_waits_for_redis_at_start_and_stops_at_once_on_request() {
    let redis = PrivateRedis::start_tcp().await;
    let fixture = Fixture::on(&redis).await;
    fixture.write(EACH_SECOND);
    redis.kill();
    let mut stopped = fixture.process();
    let waiting = fixture.process();
    for beat in [&stopped, &waiting] {
        beat.wait_for_line("Redis is unavailable", LIMIT).await;
    }
    stopped.terminate();
    assert_eq!(stopped.wait(Duration::from_secs(5)).await.code(), Some(0));
    redis.start_again().await;
    waiting.wait_for_line("schedule tick fires", LIMIT).await;
}

#[tokio::test]
async fn a_frozen_redis_does_not_delay_the_stop() {
    let redis = PrivateRedis::start().await;
    let fixture = Fixture::on(&redis).await;
    fixture.write(EACH_SECOND);
    let mut beat = fixture.process();
    fixture.mails(1).await;
    redis.pause();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    beat.terminate();
    assert_eq!(beat.wait(Duration::from_secs(5)).await.code(), Some(0));
    redis.resume();
}

async fn request_health(address: &str) -> String {
    let address = address.to_owned();
    let curl = async || {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(&address).await.ok()?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await.ok()?;
        Some(response)
    };
    eventually(LIMIT, "a response of the health port", curl).await
}

//! Redis goes away and comes back.

use std::time::Duration;

use postroom_testkit::{PrivateRedis, eventually};

use crate::fixture::{EACH_SECOND, Fixture, LIMIT};

fn count(text: &str, part: &str) -> usize {
    text.lines().filter(|line| line.contains(part)).count()
}

#[tokio::test]
async fn redis_is_killed_and_started_again() {
    let redis = PrivateRedis::start_tcp().await;
    let fixture = Fixture::on(&redis).await;
    fixture.write(EACH_SECOND);
    let mut beat = fixture.process_with(&[("HEALTH_PORT", "0")]);
    let health = beat.wait_for_line("health at ", LIMIT).await;
    let address = health.rsplit_once("http://").expect("an address").1.trim_end_matches("/healthz").to_owned();
    fixture.mails(2).await;
    assert!(ask(&address).await.starts_with("HTTP/1.1 200 "));

    redis.kill();
    beat.wait_for_line("Redis is away", LIMIT).await;
    assert!(ask(&address).await.starts_with("HTTP/1.1 503 "));
    tokio::time::sleep(Duration::from_secs(2)).await;
    redis.start_again().await;
    beat.wait_for_line("Redis is back", LIMIT).await;
    fixture.mails(7).await;

    beat.terminate();
    assert_eq!(beat.wait(LIMIT).await.code(), Some(0));
    let told = beat.stderr();
    assert_eq!((count(&told, "Redis is away"), count(&told, "Redis is back")), (1, 1), "{told}");
    assert!(fixture.assert_each_time_once(None).await >= 7);
}

#[tokio::test]
async fn redis_came_back_empty() {
    let redis = PrivateRedis::start_tcp().await;
    let fixture = Fixture::on(&redis).await;
    fixture.write(EACH_SECOND);
    let beat = fixture.process();
    fixture.mails(1).await;
    redis.ask(&["FLUSHALL"]);
    redis.kill();
    beat.wait_for_line("Redis is away", LIMIT).await;
    redis.start_again().await;
    fixture.mails(2).await;
    assert!(fixture.assert_each_time_once(None).await >= 2);
}

#[tokio::test]
async fn it_waits_for_a_redis_that_is_late_and_ends_at_once_when_asked() {
    let redis = PrivateRedis::start_tcp().await;
    let fixture = Fixture::on(&redis).await;
    fixture.write(EACH_SECOND);
    redis.kill();
    let mut impatient = fixture.process();
    let patient = fixture.process();
    for beat in [&impatient, &patient] {
        beat.wait_for_line("Redis is away", LIMIT).await;
    }
    impatient.terminate();
    assert_eq!(impatient.wait(Duration::from_secs(5)).await.code(), Some(0));
    redis.start_again().await;
    patient.wait_for_line("schedule tick fires", LIMIT).await;
}

#[tokio::test]
async fn a_frozen_redis_does_not_keep_it_from_ending() {
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

async fn ask(address: &str) -> String {
    let address = address.to_owned();
    let curl = async || {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(&address).await.ok()?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    eventually(LIMIT, "an answer about health", curl).await
}

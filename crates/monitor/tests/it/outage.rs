//! Outages of Redis.

use std::{net::SocketAddr, time::Duration};

use postroom_testkit::{PrivateRedis, eventually};

use crate::{
    browser::{BrowserResponse, request},
    fixture::{settings, start},
};

const LIMIT: Duration = Duration::from_secs(30);

async fn get(at: SocketAddr, path: &str) -> BrowserResponse {
    request(at, "GET", path, &[], "").await
}

async fn healthy(at: SocketAddr, status: u16) -> BrowserResponse {
    eventually(LIMIT, &format!("/healthz responds {status}"), async || {
        Some(get(at, "/healthz").await).filter(|response| response.status == status)
    })
    .await
}

#[tokio::test]
async fn pages_show_an_outage_until_it_ends() {
    let redis = PrivateRedis::start_tcp().await;
    let (at, shutdown) = start(settings(&redis.url(), &[])).await;
    assert_eq!(healthy(at, 200).await.body, "ok\n");
    redis.kill();
    healthy(at, 503).await.shows("Redis is unavailable");
    for path in ["/", "/jobs", "/batches", "/queues", "/captured"] {
        let page = get(at, path).await;
        assert_eq!(page.status, 503, "{path}");
        page.shows("<h1>Redis is unavailable</h1>");
    }
    let response = get(at, "/api/overview").await;
    assert_eq!((response.status, response.json()["error"]["code"].as_str()), (503, Some("redis_away")));
    assert_eq!(get(at, "/metrics").await.status, 503);
    redis.start_again().await;
    healthy(at, 200).await;
    assert_eq!(get(at, "/").await.status, 200);
    shutdown.request();
}

#[tokio::test]
async fn redis_may_start_after_the_monitor() {
    let redis = PrivateRedis::start_tcp().await;
    redis.stop();
    let (at, shutdown) = start(settings(&redis.url(), &[])).await;
    assert_eq!(get(at, "/healthz").await.status, 503);
    get(at, "/").await.shows("Redis is unavailable");
    redis.start_again().await;
    healthy(at, 200).await;
    assert_eq!(get(at, "/").await.status, 200);
    shutdown.request();
}

#[tokio::test]
async fn a_frozen_redis_does_not_block_the_monitor() {
    let redis = PrivateRedis::start_tcp().await;
    let (at, shutdown) = start(settings(&redis.url(), &[])).await;
    healthy(at, 200).await;
    redis.pause();
    healthy(at, 503).await.shows("Redis is unavailable");
    assert_eq!(get(at, "/").await.status, 503);
    redis.resume();
    healthy(at, 200).await;
    shutdown.request();
}

#[tokio::test]
async fn an_idle_monitor_sends_few_commands() {
    let redis = PrivateRedis::start().await;
    let (at, shutdown) = start(settings(&redis.url(), &[])).await;
    healthy(at, 200).await;
    let commands = || {
        let info = redis.ask(&["INFO", "stats"]);
        let line = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    let before = commands();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let sent = commands() - before;
    assert!(sent < 12, "{sent} commands in 6 s");
    shutdown.request();
}

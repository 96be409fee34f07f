//! Tests of lost writes: a truncated append-only file, a promoted replica with a lag, full memory.

use postroom_testkit::{PrivateRedis, Proxy, Sentinel, eventually};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_last_writes_are_removed() {
    let redis = PrivateRedis::builder().records_aof_size().start().await;
    write(&redis, "old").await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    write(&redis, "new").await;
    assert!(redis.kill_and_cut_back(Duration::from_millis(500)) > 0);
    redis.start_again().await;
    assert_eq!(redis.ask(&["MGET", "old", "new"]), "1\n");
    write(&redis, "newer").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(redis.kill_and_cut_back(Duration::ZERO), 0);
    redis.start_again().await;
    assert_eq!(redis.ask(&["MGET", "old", "newer"]), "1\n1");
}

/// Writes a key and waits until it is in the append-only file. A busy disk may delay this by
/// seconds.
async fn write(redis: &PrivateRedis, key: &str) {
    let before = redis.aof_size();
    redis.ask(&["SET", key, "1"]);
    eventually(LIMIT, "the key is in the file", async || (redis.aof_size() > before).then_some(())).await;
}

#[tokio::test]
async fn a_replica_copies_its_primary() {
    let redis = PrivateRedis::start_tcp().await;
    redis.ask(&["SET", "a", "1"]);
    let replica = redis.replica().await;
    assert_eq!(replica.ask(&["GET", "a"]), "1");
    assert!(replica.ask(&["SET", "a", "2"]).starts_with("-READONLY"));
}

#[tokio::test]
async fn a_replica_with_a_lag_is_promoted() {
    let primary = PrivateRedis::start_tcp().await;
    let proxy = Proxy::start(primary.addr());
    let replica = PrivateRedis::builder().tcp().replica_of(proxy.addr()).start().await;
    let sentinel = Sentinel::over(&primary, Duration::from_millis(500)).await;
    assert_eq!(sentinel.primary(), primary.addr());
    eventually(LIMIT, "Sentinel knows the replica", async || (sentinel.replicas() == 1).then_some(())).await;
    primary.ask(&["SET", "old", "1"]);
    eventually(LIMIT, "the replica has the key", async || (replica.ask(&["GET", "old"]) == "1").then_some(())).await;
    proxy.delay(Duration::from_secs(5));
    primary.ask(&["SET", "new", "2"]);
    primary.kill();
    proxy.reset();
    eventually(LIMIT, "Sentinel promotes the replica", async || (sentinel.primary() == replica.addr()).then_some(()))
        .await;
    eventually(LIMIT, "the replica accepts writes", async || {
        (replica.ask(&["SET", "newer", "3"]) == "OK").then_some(())
    })
    .await;
    assert_eq!(replica.ask(&["MGET", "old", "new"]), "1\n");
}

#[tokio::test]
async fn writes_to_a_full_server_are_refused() {
    let redis = PrivateRedis::builder().config("maxmemory", "2mb").start().await;
    let value = "x".repeat(100_000);
    let answers: Vec<_> = (0..40).map(|n| redis.ask(&["SET", &n.to_string(), &value])).collect();
    assert!(answers[0] == "OK" && answers[39].starts_with("-OOM"), "{answers:?}");
}

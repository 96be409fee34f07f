//! Writes that were confirmed as durable survive a crash of the server.

use std::time::{Duration, Instant};

use postroom_core::{BatchId, Error, store::Durability};
use postroom_testkit::{PrivateRedis, eventually};

use crate::fixture::Fixture;

const DISK: Durability = Durability { disk: true, replica: false };
const REPLICA: Durability = Durability { disk: false, replica: true };

async fn has(fixture: &Fixture, batch: &BatchId) -> bool {
    let read = async || fixture.store.batch(batch).await.ok();
    eventually(Duration::from_secs(30), "a reply", read).await.is_some()
}

#[tokio::test]
async fn durable_writes_survive_a_lost_second() {
    let redis = PrivateRedis::builder().tcp().records_aof_size().start().await;
    let fixture = Fixture::on(&redis).await;
    let run = fixture.store.connected_run().await.expect("a run");
    let kept = fixture.create_batch().await;
    assert_eq!(fixture.store.make_durable(&run).await, Ok(DISK));
    if !redis.ask(&["WAITAOF", "0", "0", "0"]).contains("unknown command") {
        // WAITAOF replies before the sync is a second old, but the cut below drops a whole second.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let lost = fixture.create_batch().await;
    assert!(redis.kill_and_cut_back(Duration::from_secs(1)) > 0);
    redis.start_again().await;
    assert!(has(&fixture, &kept).await);
    assert!(!has(&fixture, &lost).await, "the write was not confirmed");
}

#[tokio::test]
async fn another_run_does_not_confirm_earlier_writes() {
    let redis = PrivateRedis::start_tcp().await;
    let fixture = Fixture::on(&redis).await;
    let run = fixture.store.connected_run().await.expect("a run");
    fixture.create_batch().await;
    fixture.store.make_durable(&run).await.expect("kept");
    redis.kill();
    redis.start_again().await;
    eventually(Duration::from_secs(30), "the restart is noticed", async || {
        let refused = fixture.store.make_durable(&run).await.expect_err("another run");
        assert!(refused.is_transient(), "{refused}");
        (refused == Error::NotSynced).then_some(())
    })
    .await;
    eventually(Duration::from_secs(30), "a reply", async || fixture.store.ping().await.ok()).await;
    let now = fixture.store.connected_run().await.expect("a run");
    assert_eq!(fixture.store.make_durable(&now).await, Ok(DISK));
}

#[tokio::test]
async fn a_server_that_always_syncs_confirms_at_once() {
    let redis = PrivateRedis::builder().tcp().config("appendfsync", "always").start().await;
    let fixture = Fixture::on(&redis).await;
    let run = fixture.store.connected_run().await.expect("a run");
    fixture.create_batch().await;
    let start = Instant::now();
    for _ in 0..10 {
        assert_eq!(fixture.store.make_durable(&run).await, Ok(DISK));
    }
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_server_without_persistence_is_an_error() {
    for (name, value, word) in
        [("appendonly", "no", "set appendonly yes"), ("appendfsync", "no", "set appendfsync everysec")]
    {
        let redis = PrivateRedis::builder().tcp().config(name, value).start().await;
        let fixture = Fixture::on(&redis).await;
        let run = fixture.store.connected_run().await.expect("a run");
        // Valkey and Redis since 7.2 wait for a sync that never happens.
        let refused = fixture.store.make_durable(&run).await.expect_err(name);
        assert!(refused.to_string().contains(word) || refused.is_transient(), "{refused}");
        if name == "appendonly" {
            let refused = fixture.store.check_durable().await.expect_err("no file");
            assert!(matches!(&refused, Error::Invalid(problem) if problem.field == "durable"), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn a_replica_makes_writes_durable() {
    let redis = PrivateRedis::builder().tcp().config("appendonly", "no").start().await;
    let replica = redis.replica().await;
    eventually(Duration::from_secs(30), "the replica follows", async || {
        replica.ask(&["INFO", "replication"]).contains("master_link_status:up").then_some(())
    })
    .await;
    let fixture = Fixture::on(&redis).await;
    let run = fixture.store.connected_run().await.expect("a run");
    fixture.create_batch().await;
    let written = redis.ask(&["DBSIZE"]);
    assert_eq!(fixture.store.make_durable(&run).await, Ok(REPLICA));
    assert!(replica.ask(&["DBSIZE"]) >= written);
}

#[tokio::test]
async fn concurrent_callers_share_one_wait() {
    let redis = PrivateRedis::start_tcp().await;
    let fixture = Fixture::on(&redis).await;
    let run = fixture.store.connected_run().await.expect("a run");
    let start = Instant::now();
    let waiting: Vec<_> = (0..40)
        .map(|_| {
            let (store, run) = (fixture.store.clone(), run.clone());
            tokio::spawn(async move { store.make_durable(&run).await })
        })
        .collect();
    for one in waiting {
        assert_eq!(one.await.expect("no panic"), Ok(DISK));
    }
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    fixture.store.ping().await.expect("other calls are not delayed");
}

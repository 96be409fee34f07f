//! The connection: lost, stalled, half-open, to another run of the server; and calls that need a
//! resynchronised run.

use std::time::{Duration, Instant};

use postroom_core::{
    Error, QueueName, Result, Store,
    store::{NewBatch, RunId, WakeListener},
};
use postroom_testkit::{PrivateRedis, Proxy, eventually, unique_prefix};

use crate::fixture::{Fixture, mail, redis_settings};

/// Upper limit for any step on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

async fn store_at(url: &str) -> Store {
    Store::connect(&redis_settings(url, &unique_prefix())).await.expect("a store")
}

/// Waits for the next run that is not resynchronised, within the limit.
async fn unsynced_run(store: &Store) -> RunId {
    tokio::time::timeout(LIMIT, store.unsynced_run()).await.expect("an unsynchronised run")
}

/// Retries until there is a reply; returns how long that took.
async fn until_answered(store: &Store) -> Duration {
    let start = Instant::now();
    eventually(LIMIT, "a reply", async || store.ping().await.ok()).await;
    start.elapsed()
}

fn is_away(answer: &Result<()>) -> bool {
    matches!(answer, Err(Error::Away(_)))
}

/// The server's name for its run.
fn server_of(run: &RunId) -> &str {
    run.as_str().split('.').next().expect("a name")
}

#[tokio::test]
async fn calls_pass_only_on_a_resynchronised_run() {
    let redis = PrivateRedis::start_tcp().await;
    let store = store_at(&redis.url()).await;
    let gated = store.synced_only();
    assert_eq!(gated.ping().await, Err(Error::NotSynced));
    let first = unsynced_run(&gated).await;
    assert_eq!(store.run_id().as_ref(), Some(&first));
    assert!(redis.ask(&["INFO", "server"]).contains(&format!("run_id:{}", server_of(&first))));
    gated.mark_synced(&first);
    gated.ping().await.expect("the run is resynchronised");

    redis.kill();
    redis.start_again().await;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.unsynced_run().await }
    });
    until_answered(&store).await;
    assert_eq!(gated.ping().await, Err(Error::NotSynced), "this run is not resynchronised yet");
    let second = tokio::time::timeout(LIMIT, waiting).await.expect("an unsynchronised run").expect("no panic");
    assert_ne!(second, first);
    assert_eq!(store.run_id().as_ref(), Some(&second));
    gated.mark_synced(&first);
    assert_eq!(gated.ping().await, Err(Error::NotSynced), "the first run is over");
    gated.any_run().ping().await.expect("unchecked calls pass");
    gated.mark_synced(&second);
    gated.ping().await.expect("the second run is resynchronised");
}

#[tokio::test]
async fn no_call_passes_while_the_server_changes() {
    let redis = PrivateRedis::start_tcp().await;
    let proxy = Proxy::start(redis.addr());
    let other = PrivateRedis::start_tcp().await;
    let store = store_at(&format!("redis://{}", proxy.addr())).await;
    let gated = store.synced_only();
    gated.mark_synced(&unsynced_run(&store).await);
    let queue = QueueName::emails();
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (gated, queue) = (gated.clone(), queue.clone());
            tokio::spawn(async move {
                loop {
                    if gated.register_queues(std::slice::from_ref(&queue)).await == Err(Error::NotSynced) {
                        return;
                    }
                }
            })
        })
        .collect();
    proxy.lead_to(other.addr());
    proxy.reset();
    for caller in callers {
        tokio::time::timeout(LIMIT, caller).await.expect("the calls are refused").expect("no panic");
    }
    assert_eq!(other.ask(&["DBSIZE"]), "0", "no write reached a run that was not resynchronised");
}

#[tokio::test]
async fn a_stalled_server_is_the_same_run_afterwards() {
    let redis = PrivateRedis::start_tcp().await;
    let store = store_at(&redis.url()).await;
    let gated = store.synced_only();
    let run = unsynced_run(&store).await;
    store.mark_synced(&run);
    redis.pause();
    let start = Instant::now();
    assert!(is_away(&gated.ping().await));
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert!(is_away(&gated.ping().await), "connecting fails too");
    redis.resume();
    let took = until_answered(&gated).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(store.run_id(), Some(run));
}

#[tokio::test]
async fn a_half_open_connection_is_replaced_within_the_reply_limit() {
    let redis = PrivateRedis::start_tcp().await;
    let proxy = Proxy::start(redis.addr());
    let store = store_at(&format!("redis://{}", proxy.addr())).await;
    let run = unsynced_run(&store).await;
    store.mark_synced(&run);
    let mut bell = WakeListener::new(&store, &[QueueName::emails()]);
    bell.wait(Duration::from_millis(1)).await.expect("a reply");
    let waiting = tokio::spawn(async move { bell.wait(Duration::from_secs(20)).await.is_err() });
    proxy.black_hole_existing();
    let start = Instant::now();
    // All callers on the connection get the error at once.
    let answers = tokio::join!(store.ping(), store.ping(), store.ping());
    assert!(is_away(&answers.0) && is_away(&answers.1) && is_away(&answers.2));
    assert!(waiting.await.expect("no panic"), "the wake connection is closed too");
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    store.synced_only().ping().await.expect("the next call uses a new connection");
    assert_eq!(store.run_id(), Some(run));
}

#[tokio::test]
async fn a_lost_wake_connection_makes_the_store_check_its_own() {
    let redis = PrivateRedis::start_tcp().await;
    let store = store_at(&redis.url()).await;
    let first = unsynced_run(&store).await;
    store.mark_synced(&first);
    let mut bell = WakeListener::new(&store, &[QueueName::emails()]);
    let waiting = tokio::spawn(async move { bell.wait(Duration::from_secs(20)).await.is_err() });
    eventually(LIMIT, "the wake connection waits", async || {
        redis.ask(&["CLIENT", "LIST"]).contains("blpop").then_some(())
    })
    .await;
    redis.kill();
    redis.start_again().await;
    assert!(waiting.await.expect("no panic"));
    // The store reconnects without a call.
    assert_ne!(unsynced_run(&store).await, first);
}

#[tokio::test]
async fn a_killed_connection_is_reopened() {
    let redis = PrivateRedis::start_tcp().await;
    let store = store_at(&redis.url()).await;
    store.mark_synced(&unsynced_run(&store).await);
    redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert!(is_away(&store.ping().await), "the outcome of the call is not known");
    store.synced_only().ping().await.expect("a new connection to the same run");
}

#[tokio::test]
async fn flushed_scripts_are_loaded_again() {
    let redis = PrivateRedis::start_tcp().await;
    let fixture = Fixture::on(&redis).await;
    for _ in 0..20 {
        fixture.create_batch().await;
        assert_eq!(redis.ask(&["SCRIPT", "FLUSH"]), "OK");
    }
    let batch = NewBatch {
        pace: None,
        id: postroom_core::BatchId::new(fixture.queue.clone()),
        name: "news".to_owned(),
        retention: None,
        shared: mail(),
    };
    let flushing = async {
        for _ in 0..200 {
            tokio::task::yield_now().await;
            redis.ask(&["SCRIPT", "FLUSH"]);
        }
    };
    let creating = async {
        for _ in 0..200 {
            let answer = fixture.store.create_batch(&batch).await;
            assert!(answer.is_ok() || is_away(&answer), "{answer:?}");
        }
    };
    tokio::join!(flushing, creating);
    fixture.store.create_batch(&batch).await.expect("created");
}

#[tokio::test]
async fn a_replica_is_refused_and_a_new_master_found() {
    let master = PrivateRedis::start_tcp().await;
    let replica = master.replica().await;
    let refused = Store::connect(&redis_settings(&replica.url(), "x")).await.expect_err("a replica");
    assert!(matches!(&refused, Error::Away(why) if why.contains("is a replica")), "{refused:?}");

    let proxy = Proxy::start(master.addr());
    let store = store_at(&format!("redis://{}", proxy.addr())).await;
    let run = unsynced_run(&store).await;
    store.mark_synced(&run);
    // The address leads to the new master, while the old connection still leads to the old one.
    proxy.lead_to(replica.addr());
    replica.ask(&["REPLICAOF", "NO", "ONE"]);
    master.ask(&["REPLICAOF", "127.0.0.1", &replica.addr().port().to_string()]);
    let queue = QueueName::emails();
    let announce = async || store.register_queues(std::slice::from_ref(&queue)).await;
    let refused = announce().await.expect_err("read only");
    assert!(matches!(&refused, Error::Away(why) if why.contains("read only")), "{refused:?}");
    announce().await.expect("the new master accepts the write");
    assert_ne!(store.run_id(), Some(run.clone()));

    // Back at the first server, which never stopped: it has the other's data.
    proxy.lead_to(master.addr());
    master.ask(&["REPLICAOF", "NO", "ONE"]);
    proxy.reset();
    until_answered(&store).await;
    let now = store.run_id().expect("a connection");
    assert_eq!((server_of(&now), now == run), (server_of(&run), false), "it is the same server with other data");
    assert_eq!(store.synced_only().ping().await, Err(Error::NotSynced));
}

#[tokio::test]
async fn many_callers_connect_once() {
    let redis = PrivateRedis::start_tcp().await;
    let proxy = Proxy::start(redis.addr());
    let store = store_at(&format!("redis://{}", proxy.addr())).await;
    redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert!(is_away(&store.ping().await));
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.ping().await })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no panic").expect("a reply");
    }
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn reconnects_to_a_dead_server_are_limited() {
    let redis = PrivateRedis::start_tcp().await;
    let proxy = Proxy::start(redis.addr());
    let store = store_at(&format!("redis://{}", proxy.addr())).await;
    redis.kill();
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        assert!(is_away(&store.ping().await));
    }
    assert!(proxy.connections() < 12, "{}", proxy.connections());
    redis.start_again().await;
    let took = until_answered(&store).await;
    assert!(took < Duration::from_secs(4), "{took:?}");
}

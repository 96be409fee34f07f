//! A master behind Sentinels: the store finds it and its successor.

use std::time::Duration;

use postroom_core::{Error, Store, store::Durability};
use postroom_testkit::{PrivateRedis, Sentinel, eventually, unique_prefix};

use crate::fixture::{Fixture, redis_settings};

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_store_follows_a_failover() {
    let master = PrivateRedis::start_tcp().await;
    let replica = master.replica().await;
    let sentinel = Sentinel::over(&master, Duration::from_millis(500)).await;
    // The first address of the list is closed.
    let url = format!("redis+sentinel://127.0.0.1:1,{}/{}", sentinel.addr(), Sentinel::NAME);
    let fixture = Fixture::at(&url).await;
    let first = fixture.store.unsynced_run().await;
    fixture.store.mark_synced(&first);
    eventually(LIMIT, "the Sentinel has found the replica", async || (sentinel.replicas() == 1).then_some(())).await;

    let batch = fixture.create_batch().await;
    let kept = fixture.store.make_durable(&first).await.expect("kept");
    assert_eq!(kept, Durability { disk: true, replica: true }, "the replica may take over");

    master.kill();
    let successor = async || {
        let away = fixture.store.ping().await.err();
        assert!(away.as_ref().is_none_or(Error::is_transient), "{away:?}");
        (sentinel.primary() == replica.addr() && away.is_none()).then_some(())
    };
    eventually(LIMIT, "the replica takes over", successor).await;
    assert_eq!(fixture.store.synced_only().ping().await, Err(Error::NotSynced));
    let second = fixture.store.unsynced_run().await;
    assert_ne!(second, first);
    assert!(replica.ask(&["INFO", "server"]).contains(second.as_str().split('.').next().expect("a name")));
    fixture.store.mark_synced(&second);
    fixture.store.synced_only().ping().await.expect("the run is resynchronised");
    assert!(fixture.store.batch(&batch).await.expect("a reply").is_some(), "the durable batch exists");
    fixture.create_batch().await;
}

#[tokio::test]
async fn a_master_unknown_to_the_sentinels() {
    let master = PrivateRedis::start_tcp().await;
    let sentinel = Sentinel::over(&master, Duration::from_secs(5)).await;
    let url = format!("redis+sentinel://{}/another", sentinel.addr());
    let refused = Store::connect(&redis_settings(&url, &unique_prefix())).await.expect_err("no master");
    let message = refused.to_string();
    assert!(refused.is_transient() && message.contains("knows no master another"), "{message}");
}

/// The error names the setting, since a retry does not help.
#[tokio::test]
async fn a_sentinel_that_requires_a_password_is_a_wrong_setting() {
    let master = PrivateRedis::start_tcp().await;
    let sentinel = Sentinel::over(&master, Duration::from_millis(500)).await;
    let addr = sentinel.addr();
    assert_eq!(sentinel.ask(&["ACL", "SETUSER", "default", "resetpass", ">right"]).trim(), "OK");
    for user in ["", ":wrong@"] {
        let settings = redis_settings(&format!("redis+sentinel://{user}{addr}/{}", Sentinel::NAME), &unique_prefix());
        let problem = Store::connect(&settings).await.expect_err("a Sentinel without the password");
        assert!(matches!(&problem, Error::Invalid(problem) if problem.field == "REDIS_URL"), "{problem:?}");
    }
}

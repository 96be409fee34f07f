//! A master that Sentinels watch: it is found, and its successor too.

use std::time::Duration;

use postroom_core::{Error, Store, store::Durability};
use postroom_testkit::{PrivateRedis, Sentinel, eventually, unique_prefix};

use crate::fixture::{Fixture, redis_settings};

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_replica_takes_over_and_the_store_goes_on() {
    let master = PrivateRedis::start_tcp().await;
    let replica = master.replica().await;
    let sentinel = Sentinel::over(&master, Duration::from_millis(500)).await;
    // The first one of the list is nobody.
    let url = format!("redis+sentinel://127.0.0.1:1,{}/{}", sentinel.addr(), Sentinel::NAME);
    let fixture = Fixture::at(&url).await;
    let first = fixture.store.unsynced_run().await;
    fixture.store.mark_synced(&first);
    eventually(LIMIT, "the sentinel knows the replica", async || (sentinel.replicas() == 1).then_some(())).await;

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
    fixture.store.synced_only().ping().await.expect("the gate is open");
    assert!(fixture.store.batch(&batch).await.expect("an answer").is_some(), "what was kept is there");
    fixture.create_batch().await;
}

#[tokio::test]
async fn a_master_that_no_sentinel_knows() {
    let master = PrivateRedis::start_tcp().await;
    let sentinel = Sentinel::over(&master, Duration::from_secs(5)).await;
    let url = format!("redis+sentinel://{}/another", sentinel.addr());
    let refused = Store::connect(&redis_settings(&url, &unique_prefix())).await.expect_err("no master");
    let told = refused.to_string();
    assert!(refused.is_transient() && told.contains("knows no master another"), "{told}");
}

/// Waiting does not help: it is told by the setting.
#[tokio::test]
async fn a_sentinel_that_wants_a_password_is_told_by_the_setting() {
    let master = PrivateRedis::start_tcp().await;
    let sentinel = Sentinel::over(&master, Duration::from_millis(500)).await;
    let addr = sentinel.addr();
    assert_eq!(sentinel.ask(&["ACL", "SETUSER", "default", "resetpass", ">right"]).trim(), "OK");
    for user in ["", ":wrong@"] {
        let settings = redis_settings(&format!("redis+sentinel://{user}{addr}/{}", Sentinel::NAME), &unique_prefix());
        let problem = Store::connect(&settings).await.expect_err("no password, no master");
        assert!(matches!(&problem, Error::Invalid(problem) if problem.field == "REDIS_URL"), "{problem:?}");
    }
}

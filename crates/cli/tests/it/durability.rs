//! `--durable`: enqueued mail survives a Redis that is killed and loses its last second.

use std::time::Duration;

use postroom_testkit::{PrivateRedis, eventually};

use crate::fixture::{Fixture, LIMIT};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_durable_mail_survives_a_lost_second() {
    let redis = PrivateRedis::builder().tcp().records_aof_size().start().await;
    let fixture = Fixture::at(&redis.url());
    let id = fixture.send(&["--durable"]);
    assert!(redis.kill_and_cut_back(SECOND) > 0 || redis.aof_size() > 0);
    redis.start_again().await;
    assert_eq!(fixture.status(&id)["state"], "queued");
}

#[tokio::test]
async fn durable_is_refused_where_redis_can_not_provide_it() {
    let redis = PrivateRedis::builder().tcp().config("appendonly", "no").start().await;
    let fixture = Fixture::at(&redis.url());
    let mail = ["send", "--to", "a@example.org", "--subject", "s", "--text", "t", "--durable"];
    fixture.run(&mail).refused(2, &["durable", "set appendonly yes"]);
    assert_eq!(fixture.ok(&["list", "--json"]), "");

    let replica = redis.replica().await;
    let follows = async || redis.ask(&["INFO", "replication"]).contains("state=online").then_some(());
    eventually(LIMIT, "a replica", follows).await;
    fixture.ok(&mail);
    replica.pause();
    let ran = fixture.run(&mail);
    ran.refused(3, &["emails-", "may or may not be durable", "no replica"]);
    replica.resume();
}

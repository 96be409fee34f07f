//! What was handed over stays, though Redis is killed and loses its last second.

use std::time::Duration;

use postroom_core::settings::Sources;
use postroom_enqueue::{BatchReport, Mail, Options, Postroom, Settings};
use postroom_testkit::{PrivateRedis, eventually};

use crate::{Desk, desk::LIMIT};

const SECOND: Duration = Duration::from_secs(1);

fn at(redis: &PrivateRedis) -> Postroom {
    let env = vec![("REDIS_URL".to_owned(), redis.url())].into_iter().collect();
    Postroom::with_settings(Settings::from_sources(&Sources { env, ..Sources::default() }).expect("settings"))
}

fn shared() -> Mail {
    Mail { subject: Some("Hi".to_owned()), text: Some("Hello".into()), ..Mail::default() }
}

fn own(number: u64) -> Mail {
    Mail { to: vec![format!("a{number}@example.org").parse().expect("an address")], ..Mail::default() }
}

async fn batch(postroom: &Postroom, id: &postroom_enqueue::BatchId) -> BatchReport {
    eventually(LIMIT, "an answer", async || postroom.batch_status(id).await.ok()).await.expect("a batch")
}

#[tokio::test]
async fn a_bulk_survives_lost_seconds_while_it_is_put_in_and_after() {
    let redis = PrivateRedis::builder().tcp().remembers().start().await;
    let postroom = at(&redis);
    let options = Options { key: Some("k".to_owned()), ..Options::default() };
    let mut input = postroom.bulk(shared()).with(options.clone()).start().await.expect("a batch");
    let id = input.id().clone();
    let putting_in = async {
        for number in 0..20_000 {
            input.add(own(number)).await.expect("added");
            if number % 200 == 0 {
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
        }
        input.finish(1, 2).await.expect("finished")
    };
    let mut lost = 0;
    let breaking = async {
        for pause in [300, 900, 1_900] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            lost += u64::from(redis.kill_and_cut_back(SECOND) > 0);
            redis.start_again().await;
        }
    };
    let (summary, ()) = tokio::join!(putting_in, breaking);
    assert_eq!((summary.total, lost), (20_000, 3));
    // As soon as it has ended.
    redis.kill_and_cut_back(SECOND);
    redis.start_again().await;
    let batch = batch(&postroom, &id).await;
    assert_eq!((batch.total, batch.queued, batch.sealed), (20_000, 20_000, true));
    assert_eq!((batch.invalid, batch.duplicates), (1, 2));
    let again = postroom.bulk(shared()).with(options).start().await.expect("a batch");
    assert_eq!(again.id(), &id, "its key stands for it still");
}

#[tokio::test]
async fn a_bulk_that_is_killed_with_its_redis_at_every_turn() {
    let redis = PrivateRedis::builder().tcp().remembers().start().await;
    let postroom = at(&redis);
    // Longer than it takes.
    for wait in [0, 20, 60, 120, 300, 800, 1_300] {
        let mut input = postroom.bulk(shared()).start().await.expect("a batch");
        let id = input.id().clone();
        let putting_in = async {
            for number in 0..1_000 {
                input.add(own(number)).await.expect("added");
            }
            input.finish(0, 0).await.expect("finished");
        };
        let breaking = async {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            redis.kill_and_cut_back(SECOND);
            redis.start_again().await;
        };
        tokio::join!(putting_in, breaking);
        let batch = batch(&postroom, &id).await;
        assert_eq!((batch.total, batch.queued, batch.sealed), (1_000, 1_000, true), "after {wait} ms");
    }
}

#[tokio::test]
async fn a_bulk_is_kept_where_nothing_can_be_promised() {
    let redis = PrivateRedis::builder().tcp().config("appendonly", "no").start().await;
    let postroom = at(&redis);
    let mut input = postroom.bulk(shared()).start().await.expect("a batch");
    input.add(own(1)).await.expect("added");
    input.finish(0, 0).await.expect("finished, as well as it can be");
    let durable = Options { durable: true, ..Options::default() };
    let refused = postroom.bulk(shared()).with(durable).start().await.map(|_| ()).expect_err("a promise");
    assert!(refused.to_string().contains("appendonly"), "{refused}");
}

#[tokio::test]
async fn a_durable_mail_survives_a_lost_second() {
    let redis = PrivateRedis::builder().tcp().remembers().start().await;
    let desk = Desk::at(&redis.url());
    let id = desk.send(&["--durable"]);
    assert!(redis.kill_and_cut_back(SECOND) > 0 || redis.aof_size() > 0);
    redis.start_again().await;
    assert_eq!(desk.status(&id)["state"], "queued");
}

#[tokio::test]
async fn a_durable_mail_that_redis_is_killed_under_is_said_again() {
    let redis = PrivateRedis::builder().tcp().remembers().start().await;
    let postroom = at(&redis);
    let durable = Options { durable: true, ..Options::default() };
    let mail = Mail { to: own(1).to, ..shared() };
    let sending = async { postroom.send(mail).with(durable).await.expect("an id") };
    let breaking = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        redis.kill_and_cut_back(SECOND);
        redis.start_again().await;
    };
    let (id, ()) = tokio::join!(sending, breaking);
    assert!(eventually(LIMIT, "an answer", async || postroom.status(&id).await.ok()).await.is_some());
}

#[tokio::test]
async fn what_can_not_be_kept_is_refused_before_it_is_put_in() {
    let redis = PrivateRedis::builder().tcp().config("appendonly", "no").start().await;
    let desk = Desk::at(&redis.url());
    let mail = ["send", "--to", "a@example.org", "--subject", "s", "--text", "t", "--durable"];
    desk.run(&mail).refused(2, &["durable", "set appendonly yes"]);
    assert_eq!(desk.ok(&["list", "--json"]), "");

    let replica = redis.replica().await;
    let follows = async || redis.ask(&["INFO", "replication"]).contains("state=online").then_some(());
    eventually(LIMIT, "a replica", follows).await;
    desk.ok(&mail);
    replica.pause();
    let ran = desk.run(&mail);
    ran.refused(3, &["emails-", "may or may not be kept", "no replica"]);
    replica.resume();
}

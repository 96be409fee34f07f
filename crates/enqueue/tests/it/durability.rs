//! Enqueued mail survives a Redis that is killed and loses its last second.

use std::time::Duration;

use postroom_core::settings::Sources;
use postroom_enqueue::{BatchReport, Mail, Options, Postroom, Settings};
use postroom_testkit::{PrivateRedis, eventually};

/// Maximum time of a step on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

fn connect(redis: &PrivateRedis) -> Postroom {
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
    eventually(LIMIT, "a reply", async || postroom.batch_status(id).await.ok()).await.expect("a batch")
}

#[tokio::test]
async fn a_bulk_survives_lost_seconds_while_mails_are_added_and_after() {
    let redis = PrivateRedis::builder().tcp().records_aof_size().start().await;
    let postroom = connect(&redis);
    let options = Options { key: Some("k".to_owned()), ..Options::default() };
    let mut input = postroom.bulk(shared()).with(options.clone()).start().await.expect("a batch");
    let id = input.id().clone();
    let adding = async {
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
    let (summary, ()) = tokio::join!(adding, breaking);
    assert_eq!((summary.total, lost), (20_000, 3));
    // Right after `finish` returned.
    redis.kill_and_cut_back(SECOND);
    redis.start_again().await;
    let batch = batch(&postroom, &id).await;
    assert_eq!((batch.total, batch.queued, batch.sealed), (20_000, 20_000, true));
    assert_eq!((batch.invalid, batch.duplicates), (1, 2));
    let again = postroom.bulk(shared()).with(options).start().await.expect("a batch");
    assert_eq!(again.id(), &id, "the key still belongs to the batch");
}

#[tokio::test]
async fn a_bulk_survives_a_kill_of_redis_at_any_time() {
    let redis = PrivateRedis::builder().tcp().records_aof_size().start().await;
    let postroom = connect(&redis);
    // The last ones are longer than the whole bulk takes.
    for wait in [0, 20, 60, 120, 300, 800, 1_300] {
        let mut input = postroom.bulk(shared()).start().await.expect("a batch");
        let id = input.id().clone();
        let adding = async {
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
        tokio::join!(adding, breaking);
        let batch = batch(&postroom, &id).await;
        assert_eq!((batch.total, batch.queued, batch.sealed), (1_000, 1_000, true), "after {wait} ms");
    }
}

#[tokio::test]
async fn a_bulk_is_accepted_where_redis_can_not_make_it_durable() {
    let redis = PrivateRedis::builder().tcp().config("appendonly", "no").start().await;
    let postroom = connect(&redis);
    let mut input = postroom.bulk(shared()).start().await.expect("a batch");
    input.add(own(1)).await.expect("added");
    input.finish(0, 0).await.expect("finished without durability");
    let durable = Options { durable: true, ..Options::default() };
    let refused = postroom.bulk(shared()).with(durable).start().await.map(|_| ()).expect_err("durable is refused");
    assert!(refused.to_string().contains("appendonly"), "{refused}");
}

#[tokio::test]
async fn a_durable_mail_is_enqueued_again_after_a_kill_of_redis() {
    let redis = PrivateRedis::builder().tcp().records_aof_size().start().await;
    let postroom = connect(&redis);
    let durable = Options { durable: true, ..Options::default() };
    let mail = Mail { to: own(1).to, ..shared() };
    let sending = async { postroom.send(mail).with(durable).await.expect("an id") };
    let breaking = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        redis.kill_and_cut_back(SECOND);
        redis.start_again().await;
    };
    let (id, ()) = tokio::join!(sending, breaking);
    assert!(eventually(LIMIT, "a reply", async || postroom.status(&id).await.ok()).await.is_some());
}

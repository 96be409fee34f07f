//! Webhooks for batches that are done are called until they succeed.

use postroom_core::{BatchId, JobState, Mail};
use postroom_testkit::{FakeClock, FakeReceiver, FakeSmtp, PrivateRedis, ReceivedRequest, eventually};

use crate::fixture::{Fixture, LIMIT, mail_to, plain, terms};

/// Enqueues a batch of `mails` mails with a webhook at this URL.
async fn batch_for(fixture: &Fixture, mails: u64, url: &str) -> BatchId {
    let shared = Mail { subject: Some("News".to_owned()), ..plain() };
    let batch = fixture.enqueue_batch(&fixture.queue, &terms(), shared, mails).await;
    fixture.store.notify_of_batch(&batch, &url.parse().expect("a URL")).await.expect("noted");
    batch
}

fn ids(requests: &[ReceivedRequest]) -> Vec<&str> {
    requests.iter().map(|request| request.headers["webhook-id"].as_str()).collect()
}

#[tokio::test]
async fn a_webhook_is_called_once_with_the_whole_batch() {
    let (mut fixture, receiver) = (Fixture::new().await, FakeReceiver::start());
    fixture.env.push(("NOTIFY_WEBHOOK_SECRET".to_owned(), "whsec_c29tZSAyNCByYW5kb20gYnl0ZXMuLi4=".to_owned()));
    let batch = batch_for(&fixture, 5, &receiver.url("/hook?token=hidden")).await;
    let workers = [fixture.worker(&[]).await, fixture.worker(&[]).await];
    let request = receiver.wait_for(1, LIMIT).await.remove(0);
    assert_eq!(request.line, "POST /hook?token=hidden");
    assert_eq!(request.headers["content-type"], "application/json");
    assert!(request.headers["user-agent"].starts_with("postroom/"), "{:?}", request.headers);
    assert_eq!(request.headers["webhook-id"], format!("b-emails-{}-done", &batch.to_string()[9..]));
    assert!(request.headers["webhook-timestamp"].parse::<u64>().expect("seconds") > 1_600_000_000);
    assert!(request.headers["webhook-signature"].starts_with("v1,"));
    let event = request.json();
    assert_eq!((&event["type"], &event["timestamp"]), (&"batch.done".into(), &event["data"]["done_at"]));
    let report = fixture.store.batch(&batch).await.expect("a reply").expect("a batch");
    assert_eq!(event["data"], serde_json::to_value(&report).expect("JSON"));
    assert_eq!((event["data"]["sent"].as_u64(), event["data"]["done"].as_bool()), (Some(5), Some(true)));

    // A webhook that is requested again is not called again.
    let logged = || workers.iter().any(|worker| worker.stderr().contains("webhook succeeded at try 1"));
    eventually(LIMIT, "the call is logged", async || logged().then_some(())).await;
    fixture.store.notify_of_batch(&batch, &receiver.url("/other").parse().expect("a URL")).await.expect("noted");
    let later = batch_for(&fixture, 1, &receiver.url("/later")).await;
    receiver.wait_for(2, LIMIT).await;
    assert_eq!(receiver.requests()[1].json()["data"]["id"], later.to_string());
    assert!(!workers.iter().any(|worker| worker.stderr().contains("hidden")), "the log contains the path");
}

#[tokio::test]
async fn a_refused_call_is_repeated_unchanged() {
    let (fixture, receiver) = (Fixture::new().await, FakeReceiver::start());
    receiver.answer(500, 1);
    receiver.redirect(&receiver.url("/elsewhere"));
    batch_for(&fixture, 2, &receiver.url("/hook")).await;
    let worker = fixture.worker(&[]).await;
    let requests = receiver.wait_for(3, LIMIT).await;
    worker.wait_for_line("webhook succeeded at try 3", LIMIT).await;
    assert_eq!(receiver.requests().len(), 3);
    assert!(requests.iter().all(|request| request.line == "POST /hook"), "{requests:?}");
    assert!(ids(&requests).windows(2).all(|pair| pair[0] == pair[1]), "{requests:?}");
    assert!(requests.windows(2).all(|pair| pair[0].body == pair[1].body), "{requests:?}");
    assert!(!requests[0].headers.contains_key("webhook-signature"));
    let logs = worker.stderr();
    assert!(logs.contains("try 1: 500;") && logs.contains("try 2: 302, and redirects"), "{logs}");
}

/// Servers that are down or never reply delay neither mail nor the webhooks of others.
#[tokio::test]
async fn a_server_that_is_down_is_called_later_and_delays_nothing() {
    let (fixture, receiver, silent) = (Fixture::new().await, FakeReceiver::start(), FakeReceiver::start());
    receiver.stop();
    silent.ignore(usize::from(u8::MAX));
    for _ in 0..3 {
        batch_for(&fixture, 1, &silent.url("/")).await;
    }
    batch_for(&fixture, 1, &receiver.url("/hook")).await;
    let worker = fixture.worker(&["--concurrency", "2"]).await;
    worker.wait_for_line("webhook failed at try 2: connect", LIMIT).await;
    let about = format!("webhook:{}", receiver.url(""));
    fixture.reports("an alert", |info| info.alerts.iter().any(|alert| alert.about == about)).await;
    silent.wait_for(3, LIMIT).await;
    let mail = fixture.enqueue(mail_to("ann@example.org")).await;
    fixture.reaches(&mail, JobState::Sent).await;
    receiver.start_again();
    receiver.wait_for(1, LIMIT).await;
    fixture.reports("the alert ended", |info| info.alerts.iter().all(|alert| alert.about != about)).await;
}

#[tokio::test]
async fn another_worker_continues_when_one_is_lost() {
    let (fixture, receiver) = (Fixture::new().await, FakeReceiver::start());
    receiver.ignore(1);
    batch_for(&fixture, 1, &receiver.url("/hook")).await;
    let mut first = fixture.worker(&[]).await;
    receiver.wait_for(1, LIMIT).await;
    first.kill();
    let second = fixture.worker(&[]).await;
    let requests = receiver.wait_for(2, LIMIT * 2).await;
    second.wait_for_line("webhook succeeded at try 2", LIMIT).await;
    assert_eq!(ids(&requests)[0], ids(&requests)[1]);
    assert_eq!(requests[0].json(), requests[1].json());
}

#[tokio::test]
async fn a_webhook_is_given_up_after_days() {
    let clock = FakeClock::new("+0s");
    let redis = PrivateRedis::builder().clock(&clock).start().await;
    let (fixture, receiver) = (Fixture::on(&redis, FakeSmtp::start().await).await, FakeReceiver::start());
    receiver.stop();
    let batch = batch_for(&fixture, 1, &receiver.url("/hook")).await;
    let worker = fixture.worker(&[]).await;
    worker.wait_for_line("webhook failed at try 1: connect", LIMIT).await;
    clock.set("+71h");
    worker.wait_for_line("webhook failed at try 2: connect", LIMIT).await;
    clock.set("+73h");
    let last = worker.wait_for_line("gave up the webhook", LIMIT).await;
    assert!(last.contains(&batch.to_string()) && last.contains("after 3 tries: connect"), "{last}");
    eventually(LIMIT, "no webhook is left", async || {
        (redis.ask(&["EXISTS", &fixture.key("webhooks")]) == "0").then_some(())
    })
    .await;
}

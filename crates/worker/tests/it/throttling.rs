//! Servers that limit the rate or the connections, and quotas.

use std::time::Duration;

use postroom_core::{
    BatchId, JobState,
    store::{LimitName, TransportState},
};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase, PrivateRedis, Received, eventually};

use crate::fixture::{Fixture, LIMIT, mail_to, plain, recipients_at, terms};

async fn on(smtp: FakeSmtp) -> Fixture {
    Fixture::on(PrivateRedis::shared(), smtp).await
}

/// Returns the mails a second from `from` after the first mail to the last one.
fn goodput(received: &[Received], from: Duration) -> f64 {
    let start = received[0].at + from;
    let late: Vec<_> = received.iter().filter(|mail| mail.at >= start).collect();
    late.len() as f64 / (late[late.len() - 1].at - start).as_secs_f64()
}

/// Waits until the whole batch is sent, without failures and counted attempts.
async fn all_are_sent(fixture: &Fixture, batch: &BatchId, number: u64) {
    eventually(LIMIT, "all mails are sent", async || {
        let queue = fixture.store.queue(&fixture.queue).await.ok()?;
        (queue.sent_total == number).then_some(())
    })
    .await;
    for index in 0..number {
        let job = fixture.job(&batch.job(index)).await;
        assert_eq!((job.state, job.attempt), (JobState::Sent, 0), "{job:?}");
    }
}

async fn learns_the_rate_from(refusal: Action) {
    let (rate, mails) = (50, 600);
    let fixture = on(FakeSmtp::builder().rate(rate, refusal).start().await).await;
    let batch = fixture.enqueue_batch(&fixture.queue, &terms(), plain(), mails).await;
    let _workers = [fixture.worker(&["--concurrency", "8"]).await, fixture.worker(&["--concurrency", "8"]).await];
    let received = fixture.smtp.wait_for(usize::try_from(mails).expect("few"), LIMIT).await;
    let a_second = goodput(&received, Duration::from_secs(5));
    // `scripts/chaos server-rate` measures how near the rate comes. A busy test machine needs this
    // margin.
    assert!(a_second >= 0.4 * rate as f64, "{a_second:.1} a second of {rate}");
    all_are_sent(&fixture, &batch, mails).await;
}

#[tokio::test]
async fn a_servers_rate_is_learned_from_450() {
    learns_the_rate_from(Action::reply(450, "4.7.0 Transmit rate limit exceeded")).await;
}

#[tokio::test]
async fn a_servers_rate_is_learned_from_454() {
    learns_the_rate_from(Action::reply(454, "4.7.0 Throttling failure: Maximum sending rate exceeded.")).await;
}

#[tokio::test]
async fn a_servers_rate_is_learned_from_421() {
    learns_the_rate_from(Action::reply_and_close(421, "4.7.0 Transmit rate limit exceeded, closing")).await;
}

/// After the first refusal, all workers together stay within the number of connections that the
/// server accepts.
#[tokio::test]
async fn a_server_that_accepts_three_connections_is_not_sent_a_fourth_again() {
    let smtp = FakeSmtp::builder().max_connections(3).reply_delay(Duration::from_millis(3)).start().await;
    let fixture = on(smtp).await;
    fixture.enqueue_batch(&fixture.queue, &terms(), plain(), 900).await;
    let _workers = [fixture.worker(&["--concurrency", "6"]).await, fixture.worker(&["--concurrency", "6"]).await];
    fixture.smtp.wait_for(900, LIMIT).await;
    // One refused connection, and replacements of connections that have carried a hundred mails.
    assert_eq!(fixture.smtp.peak_connections(), 4);
    let refused = (1..=fixture.smtp.connections()).filter(|number| fixture.smtp.commands(*number).is_empty()).count();
    // Two, if the second was already under way when the first was refused.
    assert!((1..=2).contains(&refused), "{refused} refused of {} connections", fixture.smtp.connections());
    let states = fixture.store.limit_states(&fixture.settings()).await.expect("states");
    let state = states.iter().find(|state| state.name == LimitName::Transport("default".to_owned()));
    // Two, if one of the three was being replaced.
    let learned = state.expect("the transport").connections_learned;
    assert!(matches!(learned, Some(2 | 3)), "{learned:?}");
}

#[tokio::test]
async fn connections_are_capped_over_all_workers() {
    let fixture = Fixture::new().await;
    let queues = "[queue.emails]\ntransports = ['main']\n[queue.bulk]\ntransports = ['main']\n";
    fixture.configure(&[("main", &fixture.smtp, "connections = 2")], queues);
    fixture.smtp.fault(Fault::at(FaultPhase::Dot, Action::Delay(Duration::from_millis(20))));
    let bulk = postroom_core::QueueName::bulk();
    fixture.enqueue_batch(&bulk, &terms(), plain(), 1_000).await;
    let mut first = fixture.worker(&["--concurrency", "6", "--queues", "bulk"]).await;
    fixture.smtp.wait_for(20, LIMIT).await;
    let _other = fixture.worker(&["--concurrency", "6", "--queues", "emails"]).await;
    // The first worker uses both connections and must give one to a worker without any.
    let id = fixture.enqueue(mail_to("ann@example.org")).await;
    fixture.reaches(&id, JobState::Sent).await;
    assert!(fixture.smtp.received_count() < 1_000, "the other worker waited for the first one");
    // The connection permits of a killed worker are released.
    first.kill();
    let _next = fixture.worker(&["--concurrency", "6", "--queues", "bulk"]).await;
    fixture.smtp.wait_for(1_000, LIMIT).await;
    assert_eq!(fixture.smtp.peak_connections(), 2);
}

/// With more mails than connections, envelopes are pipelined. Each mail is sent once and has its
/// own result.
#[tokio::test]
async fn envelopes_are_pipelined_when_connections_are_few() {
    let fixture = Fixture::new().await;
    fixture.configure(&[("main", &fixture.smtp, "connections = 2")], "[queue.emails]\ntransports = ['main']\n");
    let refused: Vec<String> =
        (0..120).filter(|number| number % 7 == 0).map(|number| format!("p{number}@example.org")).collect();
    for address in &refused {
        fixture.smtp.fault(Fault::at(FaultPhase::Rcpt, Action::reply(550, "5.1.1 nobody")).recipient(address));
    }
    let mut ids = Vec::new();
    for number in 0..120 {
        ids.push(fixture.enqueue(mail_to(&format!("p{number}@example.org"))).await);
    }
    let _worker = fixture.worker(&["--concurrency", "8"]).await;
    for (number, id) in ids.iter().enumerate() {
        fixture.reaches(id, if number % 7 == 0 { JobState::Failed } else { JobState::Sent }).await;
    }
    let mut received = recipients_at(&fixture.smtp);
    received.sort();
    received.dedup();
    assert_eq!((received.len(), fixture.smtp.received_count()), (120 - refused.len(), 120 - refused.len()));
    assert!(fixture.smtp.ahead() >= 20, "{} envelopes were pipelined", fixture.smtp.ahead());
    assert!(
        fixture.smtp.peak_connections() <= 2 && fixture.smtp.violations().is_empty(),
        "{:?}",
        fixture.smtp.violations()
    );
}

#[tokio::test]
async fn mail_over_the_quota_of_a_transport_uses_the_next() {
    let fixture = Fixture::new().await;
    let spare = FakeSmtp::start().await;
    let queues = "[queue.emails]\ntransports = ['main', 'spare']\n";
    let quota = "quota = 20\nper = 'month'\nover = 'next'";
    fixture.configure(&[("main", &fixture.smtp, quota), ("spare", &spare, "")], queues);
    let _workers = [fixture.worker(&["--concurrency", "3"]).await, fixture.worker(&["--concurrency", "3"]).await];
    fixture.enqueue_batch(&fixture.queue, &terms(), plain(), 100).await;
    spare.wait_for(80, LIMIT).await;
    assert_eq!((fixture.smtp.received_count(), recipients_at(&spare).len()), (20, 80));
}

#[tokio::test]
async fn mail_over_the_quota_waits_for_the_next_window() {
    let fixture = Fixture::new().await;
    let spare = FakeSmtp::start().await;
    let queues = "[queue.emails]\ntransports = ['main', 'spare']\n\
        [queue.bulk]\ntransports = ['spare']\nquota = 5\nper = 'month'\n";
    fixture.configure(&[("main", &fixture.smtp, "quota = 20\nper = 'month'"), ("spare", &spare, "")], queues);
    // A refused mail does not count against a quota.
    fixture.smtp.fault(Fault::at(FaultPhase::Rcpt, Action::reply(550, "5.1.1 no")).times(4));
    fixture.enqueue_batch(&fixture.queue, &terms(), plain(), 100).await;
    let _worker = fixture.worker(&["--concurrency", "3"]).await;
    let info = fixture
        .reports("a pause", |info| info.transports.first().is_some_and(|one| one.state == TransportState::Paused))
        .await;
    let transport = &info.transports[0];
    assert_eq!(transport.why.as_deref(), Some("monthly quota of 20 used up"));
    assert!(transport.next_try_ms.is_some() && info.alerts.is_empty(), "{info:?}");
    fixture.smtp.wait_for(20, LIMIT).await;
    eventually(LIMIT, "the rest is not claimed", async || {
        let queue = fixture.store.queue(&fixture.queue).await.ok()?;
        ((queue.sent_total, queue.failed_total, queue.queued) == (20, 4, 76)).then_some(())
    })
    .await;
    let bulk = postroom_core::QueueName::bulk();
    fixture.enqueue_batch(&bulk, &terms(), plain(), 10).await;
    eventually(LIMIT, "a queue's quota", async || {
        let queue = fixture.store.queue(&bulk).await.ok()?;
        ((queue.sent_total, queue.queued) == (5, 5)).then_some(())
    })
    .await;
    let states = fixture.store.limit_states(&fixture.settings()).await.expect("states");
    let used = |name: &LimitName| states.iter().find(|state| state.name == *name)?.quota.map(|quota| quota.used);
    assert_eq!(used(&LimitName::Transport("main".to_owned())), Some(20));
    assert_eq!(used(&LimitName::Queue(bulk.clone())), Some(5));
    assert_eq!((fixture.smtp.received_count(), spare.received_count()), (20, 5));
}

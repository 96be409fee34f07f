//! Servers that want less, or fewer connections, and quotas.

use std::time::Duration;

use postroom_core::{
    BatchId, JobState,
    store::{LimitName, TransportState},
};
use postroom_testkit::{Action, FakeSmtp, Fault, Phase, PrivateRedis, Received, eventually};

use crate::bench::{Bench, LIMIT, mail_to, plain, recipients_at, terms};

async fn on(smtp: FakeSmtp) -> Bench {
    Bench::on(PrivateRedis::shared(), smtp).await
}

/// How many a second came from that long after the first on, to the last.
fn goodput(received: &[Received], from: Duration) -> f64 {
    let start = received[0].at + from;
    let late: Vec<_> = received.iter().filter(|mail| mail.at >= start).collect();
    late.len() as f64 / (late[late.len() - 1].at - start).as_secs_f64()
}

/// All of a batch is sent, nothing failed, nothing counted.
async fn all_is_well(bench: &Bench, batch: &BatchId, number: u64) {
    eventually(LIMIT, "all told", async || {
        let queue = bench.store.queue(&bench.queue).await.ok()?;
        (queue.sent_total == number).then_some(())
    })
    .await;
    for index in 0..number {
        let job = bench.job(&batch.job(index)).await;
        assert_eq!((job.state, job.attempt), (JobState::Sent, 0), "{job:?}");
    }
}

async fn learns_the_rate_of(refusal: Action) {
    let (rate, mails) = (50, 600);
    let bench = on(FakeSmtp::builder().rate(rate, refusal).start().await).await;
    let batch = bench.enqueue_batch(&bench.queue, &terms(), plain(), mails).await;
    let _workers = [bench.worker(&["--concurrency", "8"]).await, bench.worker(&["--concurrency", "8"]).await];
    let received = bench.smtp.wait_for(usize::try_from(mails).expect("few"), LIMIT).await;
    let a_second = goodput(&received, Duration::from_secs(5));
    // How near it comes is for `scripts/chaos server-rate` to measure: here a machine that does much else must do.
    assert!(a_second >= 0.4 * rate as f64, "{a_second:.1} a second of {rate}");
    all_is_well(&bench, &batch, mails).await;
}

#[tokio::test]
async fn a_servers_rate_is_learned_from_450() {
    learns_the_rate_of(Action::reply(450, "4.7.0 Transmit rate limit exceeded")).await;
}

#[tokio::test]
async fn a_servers_rate_is_learned_from_454() {
    learns_the_rate_of(Action::reply(454, "4.7.0 Throttling failure: Maximum sending rate exceeded.")).await;
}

#[tokio::test]
async fn a_servers_rate_is_learned_from_421() {
    learns_the_rate_of(Action::reply_and_close(421, "4.7.0 Transmit rate limit exceeded, closing")).await;
}

/// After the first refusal never one more than the server lets in, over all workers; and all goes.
#[tokio::test]
async fn a_server_that_takes_three_connections_is_not_asked_for_a_fourth_again() {
    let smtp = FakeSmtp::builder().max_connections(3).reply_delay(Duration::from_millis(3)).start().await;
    let bench = on(smtp).await;
    bench.enqueue_batch(&bench.queue, &terms(), plain(), 900).await;
    let _workers = [bench.worker(&["--concurrency", "6"]).await, bench.worker(&["--concurrency", "6"]).await];
    bench.smtp.wait_for(900, LIMIT).await;
    // One refused, and what replaces connections that have had their hundred mails.
    assert_eq!(bench.smtp.peak_connections(), 4);
    let refused = (1..=bench.smtp.connections()).filter(|number| bench.smtp.commands(*number).is_empty()).count();
    // Two, where the second was on its way when the first was refused.
    assert!((1..=2).contains(&refused), "{refused} refused of {} connections", bench.smtp.connections());
    let states = bench.store.limit_states(&bench.settings()).await.expect("states");
    let state = states.iter().find(|state| state.name == LimitName::Transport("default".to_owned()));
    // Two, where one of the three was just being replaced.
    let learned = state.expect("the transport").connections_learned;
    assert!(matches!(learned, Some(2 | 3)), "{learned:?}");
}

#[tokio::test]
async fn connections_are_capped_over_all_workers() {
    let bench = Bench::new().await;
    let queues = "[queue.emails]\ntransports = ['main']\n[queue.bulk]\ntransports = ['main']\n";
    bench.configure(&[("main", &bench.smtp, "connections = 2")], queues);
    bench.smtp.fault(Fault::at(Phase::Dot, Action::Delay(Duration::from_millis(20))));
    let bulk = postroom_core::QueueName::bulk();
    bench.enqueue_batch(&bulk, &terms(), plain(), 1_000).await;
    let mut hog = bench.worker(&["--concurrency", "6", "--queues", "bulk"]).await;
    bench.smtp.wait_for(20, LIMIT).await;
    let _other = bench.worker(&["--concurrency", "6", "--queues", "emails"]).await;
    // Both connections are the hog's, which leaves one to who has none.
    let id = bench.enqueue(mail_to("ann@example.org")).await;
    bench.reaches(&id, JobState::Sent).await;
    assert!(bench.smtp.received_count() < 1_000, "not only when the hog was done");
    // Killed, its connections come back.
    hog.kill();
    let _next = bench.worker(&["--concurrency", "6", "--queues", "bulk"]).await;
    bench.smtp.wait_for(1_000, LIMIT).await;
    assert_eq!(bench.smtp.peak_connections(), 2);
}

/// With more mails at once than connections, envelopes go ahead; each mail is sent once and told as what it came to.
#[tokio::test]
async fn envelopes_go_ahead_where_connections_are_few() {
    let bench = Bench::new().await;
    bench.configure(&[("main", &bench.smtp, "connections = 2")], "[queue.emails]\ntransports = ['main']\n");
    let refused: Vec<String> =
        (0..120).filter(|number| number % 7 == 0).map(|number| format!("p{number}@example.org")).collect();
    for address in &refused {
        bench.smtp.fault(Fault::at(Phase::Rcpt, Action::reply(550, "5.1.1 nobody")).recipient(address));
    }
    let mut ids = Vec::new();
    for number in 0..120 {
        ids.push(bench.enqueue(mail_to(&format!("p{number}@example.org"))).await);
    }
    let _worker = bench.worker(&["--concurrency", "8"]).await;
    for (number, id) in ids.iter().enumerate() {
        bench.reaches(id, if number % 7 == 0 { JobState::Failed } else { JobState::Sent }).await;
    }
    let mut received = recipients_at(&bench.smtp);
    received.sort();
    received.dedup();
    assert_eq!((received.len(), bench.smtp.received_count()), (120 - refused.len(), 120 - refused.len()));
    assert!(bench.smtp.ahead() >= 20, "{} went ahead", bench.smtp.ahead());
    assert!(bench.smtp.peak_connections() <= 2 && bench.smtp.violations().is_empty(), "{:?}", bench.smtp.violations());
}

#[tokio::test]
async fn over_its_quota_a_transports_mail_goes_by_the_next() {
    let bench = Bench::new().await;
    let spare = FakeSmtp::start().await;
    let queues = "[queue.emails]\ntransports = ['main', 'spare']\n";
    let quota = "quota = 20\nper = 'month'\nover = 'next'";
    bench.configure(&[("main", &bench.smtp, quota), ("spare", &spare, "")], queues);
    let _workers = [bench.worker(&["--concurrency", "3"]).await, bench.worker(&["--concurrency", "3"]).await];
    bench.enqueue_batch(&bench.queue, &terms(), plain(), 100).await;
    spare.wait_for(80, LIMIT).await;
    assert_eq!((bench.smtp.received_count(), recipients_at(&spare).len()), (20, 80));
}

#[tokio::test]
async fn over_its_quota_mail_waits_for_the_next_window() {
    let bench = Bench::new().await;
    let spare = FakeSmtp::start().await;
    let queues = "[queue.emails]\ntransports = ['main', 'spare']\n[queue.bulk]\ntransports = ['spare']\nquota = 5\nper = 'month'\n";
    bench.configure(&[("main", &bench.smtp, "quota = 20\nper = 'month'"), ("spare", &spare, "")], queues);
    // What is refused costs nothing of a quota.
    bench.smtp.fault(Fault::at(Phase::Mail, Action::reply(550, "5.1.8 no")).times(4));
    bench.enqueue_batch(&bench.queue, &terms(), plain(), 100).await;
    let _worker = bench.worker(&["--concurrency", "3"]).await;
    let info = bench.told("a pause", |info| info.transports[0].state == TransportState::Paused).await;
    let told = &info.transports[0];
    assert_eq!(told.why.as_deref(), Some("monthly quota of 20 used up"));
    assert!(told.next_try_ms.is_some() && info.alerts.is_empty(), "{info:?}");
    bench.smtp.wait_for(20, LIMIT).await;
    eventually(LIMIT, "the rest is not even claimed", async || {
        let queue = bench.store.queue(&bench.queue).await.ok()?;
        ((queue.sent_total, queue.failed_total, queue.queued) == (20, 4, 76)).then_some(())
    })
    .await;
    let bulk = postroom_core::QueueName::bulk();
    bench.enqueue_batch(&bulk, &terms(), plain(), 10).await;
    eventually(LIMIT, "a queue's quota", async || {
        let queue = bench.store.queue(&bulk).await.ok()?;
        ((queue.sent_total, queue.queued) == (5, 5)).then_some(())
    })
    .await;
    let states = bench.store.limit_states(&bench.settings()).await.expect("states");
    let used = |name: &LimitName| states.iter().find(|state| state.name == *name)?.quota.map(|quota| quota.used);
    assert_eq!(used(&LimitName::Transport("main".to_owned())), Some(20));
    assert_eq!(used(&LimitName::Queue(bulk.clone())), Some(5));
    assert_eq!((bench.smtp.received_count(), spare.received_count()), (20, 5));
}

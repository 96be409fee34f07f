//! A mail server that is down for long, without a fallback.

use std::collections::BTreeSet;

use postroom_core::{JobState, QueueName, store::TransportState};
use postroom_testkit::{Action, FakeSmtp, Fault, Phase, PrivateRedis, eventually};

use crate::bench::{Bench, LIMIT, mail_to, recipients_at, terms};

const MAILS: usize = 40;

async fn enqueue_all(bench: &Bench) -> Vec<postroom_core::JobId> {
    let mut ids = Vec::new();
    for number in 0..MAILS {
        ids.push(bench.enqueue(mail_to(&format!("user{number}@example.org"))).await);
    }
    ids
}

async fn all_sent_once(bench: &Bench, ids: &[postroom_core::JobId]) {
    for id in ids {
        let report = bench.reaches(id, JobState::Sent).await;
        assert_eq!(report.attempt, 0, "an attempt was counted: {report:?}");
    }
    let arrived = bench.arrived();
    assert_eq!((arrived.len(), arrived.iter().collect::<BTreeSet<_>>().len()), (MAILS, MAILS), "each mail once");
}

/// Several rounds of open and half-open: few connections, no failures, no counted attempts, and all
/// mail is sent in the end.
#[tokio::test]
async fn mail_waits_for_a_server_that_is_down() {
    let bench = Bench::new().await;
    bench.smtp.fault(Fault::at(Phase::Banner, Action::reply_and_close(421, "4.3.0 going down for bob@example.org")));
    let worker = bench.worker(&["--concurrency", "4"]).await;
    let ids = enqueue_all(&bench).await;
    let info = bench.reports("an alert", |info| !info.alerts.is_empty()).await;
    let transport = &info.transports[0];
    assert_eq!((info.alerts[0].about.as_str(), transport.state), ("transport:default", TransportState::Down));
    // Mail under way when the circuit opened, and then one probe after 1, 2 and 4 seconds.
    let opened = bench.smtp.connections();
    eventually(LIMIT, "three more probes", async || (bench.smtp.connections() >= opened + 3).then_some(())).await;
    let report = bench.store.queue(&bench.queue).await.expect("a queue");
    assert_eq!((report.failed_total, report.queued + report.deferred + report.sending), (0, MAILS as u64));
    let untried = report.queued;
    assert!(untried >= MAILS as u64 - 20, "most mails were claimed: {untried} queued");
    assert!(bench.smtp.connections() <= 12 + 5, "{} connections", bench.smtp.connections());
    bench.smtp.clear_faults();
    all_sent_once(&bench, &ids).await;
    bench
        .reports("the transport is up", |info| info.alerts.is_empty() && info.transports[0].state == TransportState::Up)
        .await;
    let log = worker.stderr();
    for line in ["transport default is down", "transport default is no longer down"] {
        assert_eq!(log.matches(line).count(), 1, "logged once: {log}");
    }
    assert!(!log.contains("bob@"), "{log}");
}

#[tokio::test]
async fn a_refused_login_fails_no_mail_and_raises_an_alert() {
    let smtp = FakeSmtp::builder().auth("ada", "secret").start().await;
    smtp.fault(Fault::at(Phase::Auth, Action::reply(535, "5.7.8 Authentication credentials invalid")));
    let mut bench = Bench::on(PrivateRedis::shared(), smtp).await;
    for (name, value) in [("SMTP_USERNAME", "ada"), ("SMTP_PASSWORD", "secret")] {
        bench.env.push((name.to_owned(), value.to_owned()));
    }
    let _worker = bench.worker(&[]).await;
    let ids = enqueue_all(&bench).await;
    let info = bench.reports("an alert", |info| !info.alerts.is_empty()).await;
    assert_eq!(info.transports[0].state, TransportState::Down);
    let why = info.transports[0].why.clone().expect("a reason");
    assert!(why.contains("535") && info.alerts[0].text.contains(&why), "{info:?}");
    let before = bench.smtp.connections();
    eventually(LIMIT, "a probe", async || (bench.smtp.connections() > before).then_some(())).await;
    assert_eq!(bench.store.queue(&bench.queue).await.expect("a queue").failed_total, 0);
    bench.smtp.clear_faults();
    all_sent_once(&bench, &ids).await;
}

/// While the server of one queue is down, the other queue of the same worker is served.
#[tokio::test]
async fn another_queue_is_served_meanwhile() {
    let bench = Bench::new().await;
    let other = FakeSmtp::start().await;
    let queues = "[queue.emails]\ntransports = ['main']\n[queue.bulk]\ntransports = ['other']\n";
    bench.configure(&[("main", &bench.smtp, ""), ("other", &other, "")], queues);
    bench.smtp.stop();
    let _worker = bench.worker(&["--concurrency", "4", "--queues", "emails,bulk"]).await;
    let ids = enqueue_all(&bench).await;
    bench.reports("main is down", |info| info.transports.iter().any(|one| one.state == TransportState::Down)).await;
    let batch = bench.enqueue_batch(&QueueName::bulk(), &terms(), crate::bench::plain(), 100).await;
    eventually(LIMIT, "the batch is done", async || {
        bench.store.batch(&batch).await.expect("a reply").filter(|batch| batch.done)
    })
    .await;
    assert_eq!(recipients_at(&other).len(), 100);
    let waiting = bench.store.queue(&bench.queue).await.expect("a queue");
    assert_eq!((waiting.sent_total, waiting.failed_total), (0, 0));
    bench.smtp.start_again();
    all_sent_once(&bench, &ids).await;
}

/// Single lost connections do not open the circuit.
#[tokio::test]
async fn two_lost_connections_are_no_outage() {
    let bench = Bench::new().await;
    bench.smtp.fault(Fault::at(Phase::Mail, Action::Reset).times(2));
    let worker = bench.worker(&["--concurrency", "2"]).await;
    let ids = enqueue_all(&bench).await;
    all_sent_once(&bench, &ids).await;
    assert!(!worker.stderr().contains("is down"), "{}", worker.stderr());
    let info = bench.reports("the worker reports", |_| true).await;
    assert_eq!((info.transports[0].state, info.alerts), (TransportState::Up, vec![]));
}

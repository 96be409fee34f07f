//! A mail server that is down for long, without a fallback.

use std::collections::BTreeSet;

use postroom_core::{JobState, QueueName, store::TransportState};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase, PrivateRedis, eventually};

use crate::fixture::{Fixture, LIMIT, mail_to, recipients_at, terms};

const MAILS: usize = 40;

async fn enqueue_all(fixture: &Fixture) -> Vec<postroom_core::JobId> {
    let mut ids = Vec::new();
    for number in 0..MAILS {
        ids.push(fixture.enqueue(mail_to(&format!("user{number}@example.org"))).await);
    }
    ids
}

async fn all_sent_once(fixture: &Fixture, ids: &[postroom_core::JobId]) {
    for id in ids {
        let report = fixture.reaches(id, JobState::Sent).await;
        assert_eq!(report.attempt, 0, "an attempt was counted: {report:?}");
    }
    let arrived = fixture.arrived();
    assert_eq!((arrived.len(), arrived.iter().collect::<BTreeSet<_>>().len()), (MAILS, MAILS), "each mail once");
}

/// Several rounds of open and half-open: few connections, no failures, no counted attempts, and all
/// mail is sent in the end.
#[tokio::test]
async fn mail_waits_for_a_server_that_is_down() {
    let fixture = Fixture::new().await;
    fixture
        .smtp
        .fault(Fault::at(FaultPhase::Banner, Action::reply_and_close(421, "4.3.0 going down for bob@example.org")));
    let worker = fixture.worker(&["--concurrency", "4"]).await;
    let ids = enqueue_all(&fixture).await;
    let info = fixture.reports("an alert", |info| !info.alerts.is_empty()).await;
    let transport = &info.transports[0];
    assert_eq!((info.alerts[0].about.as_str(), transport.state), ("transport:default", TransportState::Down));
    // Mail under way when the circuit opened, and then one probe after 1, 2 and 4 seconds.
    let opened = fixture.smtp.connections();
    eventually(LIMIT, "three more probes", async || (fixture.smtp.connections() >= opened + 3).then_some(())).await;
    let report = fixture.store.queue(&fixture.queue).await.expect("a queue");
    assert_eq!((report.failed_total, report.queued + report.deferred + report.sending), (0, MAILS as u64));
    let untried = report.queued;
    assert!(untried >= MAILS as u64 - 20, "most mails were claimed: {untried} queued");
    assert!(fixture.smtp.connections() <= 12 + 5, "{} connections", fixture.smtp.connections());
    fixture.smtp.clear_faults();
    all_sent_once(&fixture, &ids).await;
    fixture
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
    smtp.fault(Fault::at(FaultPhase::Auth, Action::reply(535, "5.7.8 Authentication credentials invalid")));
    let mut fixture = Fixture::on(PrivateRedis::shared(), smtp).await;
    for (name, value) in [("SMTP_USERNAME", "ada"), ("SMTP_PASSWORD", "secret")] {
        fixture.env.push((name.to_owned(), value.to_owned()));
    }
    let _worker = fixture.worker(&[]).await;
    let ids = enqueue_all(&fixture).await;
    let info = fixture.reports("an alert", |info| !info.alerts.is_empty()).await;
    assert_eq!(info.transports[0].state, TransportState::Down);
    let why = info.transports[0].why.clone().expect("a reason");
    assert!(why.contains("535") && info.alerts[0].text.contains(&why), "{info:?}");
    let before = fixture.smtp.connections();
    eventually(LIMIT, "a probe", async || (fixture.smtp.connections() > before).then_some(())).await;
    assert_eq!(fixture.store.queue(&fixture.queue).await.expect("a queue").failed_total, 0);
    fixture.smtp.clear_faults();
    all_sent_once(&fixture, &ids).await;
}

/// While the server of one queue is down, the other queue of the same worker is served.
#[tokio::test]
async fn another_queue_is_served_meanwhile() {
    let fixture = Fixture::new().await;
    let other = FakeSmtp::start().await;
    let queues = "[queue.emails]\ntransports = ['main']\n[queue.bulk]\ntransports = ['other']\n";
    fixture.configure(&[("main", &fixture.smtp, ""), ("other", &other, "")], queues);
    fixture.smtp.stop();
    let _worker = fixture.worker(&["--concurrency", "4", "--queues", "emails,bulk"]).await;
    let ids = enqueue_all(&fixture).await;
    fixture.reports("main is down", |info| info.transports.iter().any(|one| one.state == TransportState::Down)).await;
    let batch = fixture.enqueue_batch(&QueueName::bulk(), &terms(), crate::fixture::plain(), 100).await;
    eventually(LIMIT, "the batch is done", async || {
        fixture.store.batch(&batch).await.expect("a reply").filter(|batch| batch.done)
    })
    .await;
    assert_eq!(recipients_at(&other).len(), 100);
    let waiting = fixture.store.queue(&fixture.queue).await.expect("a queue");
    assert_eq!((waiting.sent_total, waiting.failed_total), (0, 0));
    fixture.smtp.start_again();
    all_sent_once(&fixture, &ids).await;
}

/// Single lost connections do not open the circuit.
#[tokio::test]
async fn two_lost_connections_are_no_outage() {
    let fixture = Fixture::new().await;
    fixture.smtp.fault(Fault::at(FaultPhase::Mail, Action::Reset).times(2));
    let worker = fixture.worker(&["--concurrency", "2"]).await;
    let ids = enqueue_all(&fixture).await;
    all_sent_once(&fixture, &ids).await;
    assert!(!worker.stderr().contains("is down"), "{}", worker.stderr());
    let info = fixture.reports("the worker reports", |_| true).await;
    assert_eq!((info.transports[0].state, info.alerts), (TransportState::Up, vec![]));
}

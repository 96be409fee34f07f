//! Servers that refuse all mail for a reason of ours: no mail fails, and all of it is sent when the
//! server relents.

use std::collections::BTreeSet;

use postroom_core::{JobState, QueueName, store::TransportState};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase, eventually};

use crate::fixture::{Fixture, LIMIT, mail_to, plain, terms};

/// Returns the number of mails of each bulk, which `POSTROOM_TEST_MAILS` sets.
fn mails() -> u64 {
    std::env::var("POSTROOM_TEST_MAILS").ok().and_then(|number| number.parse().ok()).unwrap_or(60)
}

/// Phase and reply of a server, and words of the alert.
type Refusing = (FaultPhase, u16, &'static str, &'static [&'static str]);

const SERVERS: [Refusing; 12] = [
    (
        FaultPhase::Rcpt,
        504,
        "5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname",
        &["fully-qualified", "SMTP_HELLO_NAME"],
    ),
    (FaultPhase::Rcpt, 450, "4.7.1 <app>: Helo command rejected: Host not found", &["SMTP_HELLO_NAME"]),
    (FaultPhase::Rcpt, 554, "5.7.1 <user@example.org>: Relay access denied", &["Relay access", "SMTP_USERNAME"]),
    (FaultPhase::Mail, 550, "5.7.1 Invalid credentials for relay [192.0.2.1].", &["for relay"]),
    (
        FaultPhase::Mail,
        553,
        "5.7.1 <post@example.org>: Sender address rejected: not owned by user",
        &["SMTP_MAIL_FROM"],
    ),
    (FaultPhase::Dot, 554, "5.2.252 SendAsDenied; a@example.org not allowed to send as b", &["SMTP_MAIL_FROM"]),
    (FaultPhase::Dot, 554, "Message rejected: Email address is not verified.", &["verify the sender"]),
    (
        FaultPhase::Dot,
        550,
        "5.7.25 The IP address sending this message does not have a PTR record",
        &["PTR record for"],
    ),
    (FaultPhase::Rcpt, 550, "Please turn on SMTP Authentication in your mail client", &["SMTP_USERNAME"]),
    (FaultPhase::Rcpt, 554, "5.7.1 Service unavailable; Client host blocked using zen.spamhaus.org", &["removal"]),
    // Neither names us: all mails get the same reply.
    (FaultPhase::Rcpt, 550, "5.7.1 Access to this service is not granted", &["refuses all mail alike"]),
    (FaultPhase::Dot, 451, "Temporary local problem - please try later", &["Temporary local problem"]),
];

async fn fails_no_mail((phase, code, reply, words): Refusing) {
    let fixture = Fixture::new().await;
    fixture.smtp.fault(Fault::at(phase, Action::reply(code, reply)));
    let _worker = fixture.worker(&["--concurrency", "4", "--queues", "bulk"]).await;
    let bulk = QueueName::bulk();
    let batch = fixture.enqueue_batch(&bulk, &terms(), plain(), mails()).await;
    let info = fixture.reports("an alert", |info| !info.alerts.is_empty()).await;
    assert_eq!(info.transports[0].state, TransportState::Down, "{reply}");
    for word in words {
        assert!(info.alerts[0].text.contains(word), "{word}: {}", info.alerts[0].text);
    }
    let state = fixture.store.queue(&bulk).await.expect("a queue");
    assert_eq!((state.failed_total, state.sent_total), (0, 0), "{reply}");
    fixture.smtp.clear_faults();
    let done = eventually(LIMIT, "the batch is done", async || {
        fixture.store.batch(&batch).await.expect("a reply").filter(|batch| batch.done)
    })
    .await;
    assert_eq!((done.sent, done.failed), (mails(), 0), "{reply}");
    let arrived = fixture.arrived();
    assert_eq!(arrived.iter().collect::<BTreeSet<_>>().len(), arrived.len(), "none twice: {reply}");
    fixture.reports("no alert", |info| info.alerts.is_empty()).await;
}

#[tokio::test]
async fn a_server_that_refuses_us_at_mail_or_rcpt_fails_no_mail() {
    for server in SERVERS.into_iter().filter(|(phase, ..)| *phase != FaultPhase::Dot) {
        fails_no_mail(server).await;
    }
}

#[tokio::test]
async fn a_server_that_refuses_us_at_the_dot_fails_no_mail() {
    for server in SERVERS.into_iter().filter(|(phase, ..)| *phase == FaultPhase::Dot) {
        fails_no_mail(server).await;
    }
}

/// A single mail has no others to compare with.
#[tokio::test]
async fn a_single_mail_is_held_too() {
    let fixture = Fixture::new().await;
    fixture.smtp.fault(Fault::at(FaultPhase::Rcpt, Action::reply(554, "5.7.1 <a@x.example>: Relay access denied")));
    let _worker = fixture.worker(&[]).await;
    let id = fixture.enqueue(mail_to("ann@example.org")).await;
    fixture.reports("an alert", |info| !info.alerts.is_empty()).await;
    let job = fixture.job(&id).await;
    assert!(!job.state.is_finished() && job.attempt == 0, "{job:?}");
    assert!(job.attempts.iter().all(|attempt| !attempt.counted && attempt.verdict == "account"), "{job:?}");
    fixture.smtp.clear_faults();
    fixture.reaches(&id, JobState::Sent).await;
}

/// Dead addresses are refused one after the other, and are not about us.
#[tokio::test]
async fn dead_addresses_do_not_close_the_transport() {
    let fixture = Fixture::new().await;
    for number in 0..80 {
        let address = format!("user{number}@example.org");
        let reply = format!("5.1.1 <{address}>: Recipient address rejected: User unknown");
        fixture.smtp.fault(Fault::at(FaultPhase::Rcpt, Action::reply(550, &reply)).recipient(&address));
    }
    let worker = fixture.worker(&["--concurrency", "4", "--queues", "bulk"]).await;
    let batch = fixture.enqueue_batch(&QueueName::bulk(), &terms(), plain(), 100).await;
    let done = eventually(LIMIT, "the batch is done", async || {
        fixture.store.batch(&batch).await.expect("a reply").filter(|batch| batch.done)
    })
    .await;
    assert_eq!((done.sent, done.failed), (20, 80));
    assert!(!worker.stderr().contains("is down"), "{}", worker.stderr());
}

/// A refusal that names no subject fails its mail once the server has accepted another one.
#[tokio::test]
async fn a_mail_that_alone_is_refused_fails() {
    let fixture = Fixture::new().await;
    for (number, reply) in [(3, "5.7.1 Access denied"), (7, "5.7.1 Sender address rejected: not owned by user")] {
        let address = format!("user{number}@example.org");
        fixture.smtp.fault(Fault::at(FaultPhase::Rcpt, Action::reply(550, reply)).recipient(&address));
    }
    let worker = fixture.worker(&["--concurrency", "2", "--queues", "bulk"]).await;
    let batch = fixture.enqueue_batch(&QueueName::bulk(), &terms(), plain(), 40).await;
    let done = eventually(LIMIT, "the batch is done", async || {
        fixture.store.batch(&batch).await.expect("a reply").filter(|batch| batch.done)
    })
    .await;
    assert_eq!((done.sent, done.failed), (38, 2));
    assert!(!worker.stderr().contains("is down"), "{}", worker.stderr());
    for (number, verdict) in [(3, "recipient_refused"), (7, "policy_refused")] {
        let job = fixture.job(&batch.job(number)).await;
        let verdicts: Vec<_> = job.attempts.iter().map(|attempt| attempt.verdict.as_str()).collect();
        assert_eq!((verdicts.last(), job.state), (Some(&verdict), JobState::Failed), "{job:?}");
        assert_eq!(job.attempt, 1, "{job:?}");
    }
}

/// A transport whose server refuses every mail alike is down, so the next one takes over.
#[tokio::test]
async fn the_next_transport_takes_over() {
    let fixture = Fixture::new().await;
    let spare = FakeSmtp::start().await;
    fixture.smtp.fault(Fault::at(FaultPhase::Rcpt, Action::reply(554, "5.7.1 Relay access denied")));
    let queues = "[queue.bulk]\ntransports = ['main', 'spare']\n";
    fixture.configure(&[("main", &fixture.smtp, ""), ("spare", &spare, "")], queues);
    let _worker = fixture.worker(&["--concurrency", "2", "--queues", "bulk"]).await;
    fixture.enqueue_batch(&QueueName::bulk(), &terms(), plain(), 30).await;
    spare.wait_for(30, LIMIT).await;
    assert_eq!(fixture.store.queue(&QueueName::bulk()).await.expect("a queue").failed_total, 0);
}

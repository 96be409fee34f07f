//! Servers that limit what one connection carries, or how many are opened: no mail fails, nothing
//! slows down and no transport counts as down.

use std::time::Duration;

use postroom_core::{
    BatchId, BatchReport, JobState, OnUnknown,
    store::{LimitName, TransportState},
};
use postroom_testkit::{Action, FakeSmtp, FakeSmtpBuilder, Fault, FaultPhase, PrivateRedis, Process, eventually};

use crate::fixture::{Fixture, LIMIT, mail_to, plain, terms};

/// Starts a batch of `number` mails of which the first `dead` addresses are unknown.
async fn start(server: FakeSmtpBuilder, dead: u64, number: u64, args: &[&str]) -> (Fixture, BatchId, Process) {
    let smtp = server.reply_delay(Duration::from_millis(1)).start().await;
    for number in 0..dead {
        let unknown = Action::reply(550, "5.1.1 Recipient address rejected: User unknown");
        smtp.fault(Fault::at(FaultPhase::Rcpt, unknown).recipient(&format!("user{number}@example.org")));
    }
    let fixture = Fixture::on(PrivateRedis::shared(), smtp).await;
    let batch = fixture.enqueue_batch(&fixture.queue, &terms(), plain(), number).await;
    let worker = fixture.worker(args).await;
    (fixture, batch, worker)
}

async fn ended(fixture: &Fixture, batch: &BatchId) -> BatchReport {
    eventually(LIMIT, "the batch has ended", async || {
        let report = fixture.store.batch(batch).await.ok()?.expect("a batch");
        (report.unfinished() == 0).then_some(report)
    })
    .await
}

/// Checks that the batch ended as it would without the limit, and that nothing slowed down.
async fn ends_as_without(server: FakeSmtpBuilder, dead: u64, number: u64, args: &[&str]) {
    let name = format!("{server:?}");
    let (fixture, batch, worker) = start(server, dead, number, args).await;
    let report = ended(&fixture, &batch).await;
    assert_eq!((report.sent, report.failed), (number - dead, dead), "{name}: {report:?}");
    assert_eq!(fixture.smtp.received_count() as u64, number - dead, "{name}");
    for index in (0..number).step_by(37) {
        let job = fixture.job(&batch.job(index)).await;
        let expected = if index < dead { (JobState::Failed, 1) } else { (JobState::Sent, 0) };
        assert_eq!((job.state, job.attempt), expected, "{name}: {job:?}");
    }
    let states = fixture.store.limit_states(&fixture.settings()).await.expect("states");
    let state = states.iter().find(|state| state.name == LimitName::Transport("default".to_owned()));
    assert_eq!(state.and_then(|state| state.learned_per_second), None, "{name}");
    let log = worker.stderr();
    for words in ["is down", "throttles", "pauses", "lost the lease"] {
        assert!(!log.contains(words), "{name}: {words:?} in the log:\n{log}");
    }
    assert_eq!(fixture.smtp.violations(), [""; 0], "{name}");
}

fn closing(text: &str) -> Action {
    Action::reply_and_close(421, text)
}

#[tokio::test]
async fn three_hundred_dead_addresses_delay_no_mail() {
    for (limit, refusal) in
        [(20, closing("4.7.0 mx.example Error: too many errors")), (10, closing("4.5.0 Too many errors"))]
    {
        ends_as_without(FakeSmtp::builder().error_limit(limit, refusal), 300, 1_000, &["--concurrency", "1"]).await;
    }
    let refusal = closing("4.7.0 mx.example Error: too many errors");
    ends_as_without(FakeSmtp::builder().error_limit(20, refusal), 300, 1_000, &["--concurrency", "10"]).await;
}

#[tokio::test]
async fn a_server_that_takes_twenty_mails_a_session_gets_more_sessions() {
    for refusal in [
        Action::reply(452, "4.5.3 Too many messages sent"),
        closing("too many messages in this connection"),
        closing("4.7.0 Try again later, closing connection"),
    ] {
        ends_as_without(FakeSmtp::builder().message_limit(20, refusal), 0, 1_000, &["--concurrency", "4"]).await;
    }
}

#[tokio::test]
async fn a_full_server_keeps_the_connections_that_stand() {
    let long = Duration::from_secs(3600);
    for server in [
        FakeSmtp::builder().max_listening(5),
        FakeSmtp::builder().max_connections(5),
        FakeSmtp::builder().connection_rate(3, long, closing("4.3.2 Connection rate limit exceeded.")),
        FakeSmtp::builder().connection_rate(3, long, Action::Reset),
    ] {
        ends_as_without(server, 0, 1_000, &["--concurrency", "10"]).await;
    }
}

/// One mail with more dead recipients than a connection may refuse.
#[tokio::test]
async fn a_mail_with_many_dead_recipients_is_sent_to_the_others() {
    let refusal = closing("4.7.0 mx.example Error: too many errors");
    let fixture = Fixture::on(PrivateRedis::shared(), FakeSmtp::builder().error_limit(20, refusal).start().await).await;
    let to: Vec<String> = (0..60).map(|number| format!("r{number}@example.org")).collect();
    for (number, address) in to.iter().enumerate() {
        if number % 6 != 5 {
            let unknown = Action::reply(550, "5.1.1 User unknown");
            fixture.smtp.fault(Fault::at(FaultPhase::Rcpt, unknown).recipient(address));
        }
    }
    let _worker = fixture.worker(&[]).await;
    let mail = serde_json::json!({"to": to, "subject": "s", "text": "t"});
    let id = fixture.enqueue(serde_json::from_value(mail).expect("a mail")).await;
    let job = fixture.reaches(&id, JobState::Sent).await;
    let accepted = job.recipients.iter().filter(|own| own.reply.is_none()).count();
    assert_eq!((accepted, job.recipients.len(), job.attempt), (10, 60, 0), "{job:?}");
    assert_eq!(fixture.arrived().len(), 10, "each once");
}

/// A relay that lost the next server after the final dot does not know whether that has the mail.
#[tokio::test]
async fn a_relay_that_lost_the_next_server_leaves_the_mail_in_doubt() {
    let fixture = Fixture::new().await;
    let lost = closing("4.4.0 Lost connection to relay server");
    fixture.smtp.fault(Fault::at(FaultPhase::Dot, lost).times(1));
    let _worker = fixture.worker(&[]).await;
    let mut terms = terms();
    terms.policy.on_unknown = OnUnknown::Hold;
    let id = fixture.enqueue_on(&terms, mail_to("ann@example.org")).await;
    let job = fixture.reaches(&id, JobState::Unknown).await;
    assert_eq!(job.attempt, 0, "{job:?}");
    assert_eq!(fixture.smtp.received_count(), 0);
    fixture.reports("the transport is up", |info| info.transports[0].state == TransportState::Up).await;
}

/// The renewal of a lease may follow the settlement of its job.
#[tokio::test]
async fn a_settled_job_has_not_lost_its_lease() {
    let fixture = Fixture::new().await;
    let mut terms = terms();
    terms.policy.lease = Duration::from_secs(1);
    fixture.enqueue_batch(&fixture.queue, &terms, plain(), 6_000).await;
    let worker = fixture.worker(&["--concurrency", "50"]).await;
    fixture.smtp.wait_for(6_000, LIMIT).await;
    assert!(!worker.stderr().contains("lost the lease"), "{}", worker.stderr());
}

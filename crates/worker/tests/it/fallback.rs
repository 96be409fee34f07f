//! A second transport takes over while the first one is down.

use std::time::Duration;

use postroom_core::{JobReport, JobState, OnUnknown, RecipientResult, store::TransportState};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase, eventually};
use serde_json::json;

use crate::fixture::{Fixture, LIMIT, mail_to, recipients_at, terms};

/// Returns a fixture whose mail leaves by `main`, and by `spare` while `main` is down.
async fn with_spare(main: FakeSmtp, login: &str) -> (Fixture, FakeSmtp) {
    let fixture = Fixture::on(postroom_testkit::PrivateRedis::shared(), main).await;
    let spare = FakeSmtp::start().await;
    let queues = "[queue.emails]\ntransports = ['main', 'spare']\n";
    fixture.configure(&[("main", &fixture.smtp, login), ("spare", &spare, "")], queues);
    (fixture, spare)
}

/// Returns number, transport and verdict of each attempt.
fn attempts(report: &JobReport) -> Vec<(u32, &str, &str)> {
    report.attempts.iter().map(|attempt| (attempt.n, attempt.transport.as_str(), attempt.verdict.as_str())).collect()
}

#[tokio::test]
async fn spare_takes_over_while_main_is_down() {
    let (fixture, spare) = with_spare(FakeSmtp::start().await, "").await;
    fixture.smtp.stop();
    let _worker = fixture.worker(&["--concurrency", "4"]).await;
    let mut reports = Vec::new();
    for number in 0..30 {
        let id = fixture.enqueue(mail_to(&format!("user{number}@example.org"))).await;
        reports.push(id);
    }
    for id in &reports {
        let report = fixture.reaches(id, JobState::Sent).await;
        assert_eq!(report.attempt, 0, "an attempt was counted: {report:?}");
    }
    let arrived = recipients_at(&spare);
    assert_eq!(arrived.len(), 30);
    assert_eq!(arrived.iter().collect::<std::collections::BTreeSet<_>>().len(), 30, "each mail once");
    let info = fixture.reports("main is down", |info| info.transports[0].state == TransportState::Down).await;
    assert_eq!((info.transports[1].name.as_str(), info.transports[1].state), ("spare", TransportState::Up));
    fixture.smtp.start_again();
    eventually(LIMIT, "mail by main again", async || {
        let id = fixture.enqueue(mail_to("back@example.org")).await;
        let report = fixture.reaches(&id, JobState::Sent).await;
        (attempts(&report) == [(1, "main", "accepted")]).then_some(())
    })
    .await;
    fixture
        .reports("main is up", |info| info.alerts.is_empty() && info.transports[0].state == TransportState::Up)
        .await;
}

#[tokio::test]
async fn a_refused_login_at_main_falls_back_to_spare_and_raises_an_alert() {
    let main = FakeSmtp::builder().auth("ada", "right").start().await;
    main.fault(Fault::at(FaultPhase::Auth, Action::reply(535, "5.7.8 bad credentials for ada@example.org")));
    let (fixture, spare) = with_spare(main, "username = 'ada'\npassword = 'wrong'").await;
    let worker = fixture.worker(&["--concurrency", "1"]).await;
    let first = fixture.enqueue(mail_to("ann@example.org")).await;
    let report = fixture.reaches(&first, JobState::Sent).await;
    assert_eq!(attempts(&report), [(1, "main", "account"), (2, "spare", "accepted")], "the same delivery falls back");
    assert_eq!((report.attempt, report.error.clone()), (0, None), "{report:?}");
    for number in 0..9 {
        let id = fixture.enqueue(mail_to(&format!("user{number}@example.org"))).await;
        fixture.reaches(&id, JobState::Sent).await;
    }
    assert_eq!((spare.received_count(), fixture.smtp.received_count()), (10, 0));
    let info = fixture.reports("an alert", |info| !info.alerts.is_empty()).await;
    let (alert, main) = (&info.alerts[0], &info.transports[0]);
    assert_eq!((alert.about.as_str(), main.state), ("transport:main", TransportState::Down));
    for text in [alert.text.as_str(), main.why.as_deref().unwrap_or_default(), &worker.stderr()] {
        assert!(text.contains("535") && !text.contains("ada@"), "{text}");
    }
    assert!(alert.text.contains("check SMTP_USERNAME and SMTP_PASSWORD"), "no advice: {}", alert.text);
    assert!(main.next_try_ms.is_some());
    assert_eq!(worker.stderr().matches("transport main is down").count(), 1, "logged once: {}", worker.stderr());
}

/// A mail that may have been sent is not sent by another transport.
#[tokio::test]
async fn a_mail_in_doubt_does_not_fall_back() {
    let (fixture, spare) = with_spare(FakeSmtp::start().await, "").await;
    fixture.smtp.fault(Fault::at(FaultPhase::Dot, Action::StoreThenClose));
    let _worker = fixture.worker(&["--concurrency", "1"]).await;
    let mut terms = terms();
    terms.policy.on_unknown = OnUnknown::Hold;
    for number in 0..3 {
        let id = fixture.enqueue_on(&terms, mail_to(&format!("user{number}@example.org"))).await;
        let report = fixture.reaches(&id, JobState::Unknown).await;
        assert_eq!(attempts(&report), [(1, "main", "unknown")]);
    }
    assert_eq!((fixture.smtp.received_count(), spare.received_count()), (3, 0));
    // A server that loses every reply gets no more mail.
    let id = fixture.enqueue_on(&terms, mail_to("ann@example.org")).await;
    let report = fixture.reaches(&id, JobState::Sent).await;
    assert_eq!(attempts(&report), [(1, "spare", "accepted")]);
}

/// A mail that is sent again is the same message on every transport.
#[tokio::test]
async fn both_transports_send_the_same_bytes() {
    let (fixture, spare) = with_spare(FakeSmtp::start().await, "").await;
    fixture.smtp.fault(Fault::at(FaultPhase::Dot, Action::StoreThenClose).times(1));
    fixture.smtp.fault(Fault::at(FaultPhase::Mail, Action::reply(530, "5.7.0 Authentication required")).message(2));
    let _worker = fixture.worker(&[]).await;
    let mut terms = terms();
    terms.policy.on_unknown = OnUnknown::Resend;
    let mail = json!({"to": "ann@example.org", "subject": "Hi", "text": "Hello", "html": "<p>Hello</p>"});
    let id = fixture.enqueue_on(&terms, serde_json::from_value(mail).expect("a mail")).await;
    let report = fixture.reaches(&id, JobState::Sent).await;
    assert_eq!(attempts(&report), [(1, "main", "unknown"), (2, "main", "account"), (3, "spare", "accepted")]);
    let (first, second) = (fixture.smtp.received().remove(0), spare.wait_for(1, LIMIT).await.remove(0));
    assert!(first.header("Message-ID").is_some() && first.header("Date").is_some());
    assert_eq!(first.data, second.data);
}

#[tokio::test]
async fn accepted_recipients_are_not_sent_the_mail_again() {
    let (fixture, spare) = with_spare(FakeSmtp::start().await, "").await;
    let slow_down = Action::reply(450, "4.7.28 rate limit exceeded");
    fixture.smtp.fault(Fault::at(FaultPhase::Rcpt, slow_down).recipient("ben@example.org"));
    fixture.smtp.fault(Fault::at(FaultPhase::Rcpt, Action::reply(550, "5.1.1 gone")).recipient("gone@example.org"));
    let _worker = fixture.worker(&[]).await;
    let mail = json!({"to": ["ann@example.org", "ben@example.org", "gone@example.org"], "subject": "s", "text": "t"});
    let id = fixture.enqueue(serde_json::from_value(mail).expect("a mail")).await;
    let report = fixture.reaches(&id, JobState::Sent).await;
    assert_eq!(recipients_at(&fixture.smtp), ["ann@example.org"]);
    assert_eq!(recipients_at(&spare), ["ben@example.org"]);
    let results: Vec<_> = report.recipients.iter().map(|recipient| recipient.result).collect();
    assert_eq!(results, [RecipientResult::Accepted, RecipientResult::Accepted, RecipientResult::Refused]);
    assert_eq!(fixture.smtp.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_throttling_server_gets_a_pause() {
    let fixture = Fixture::new().await;
    let closing = Action::reply_and_close(421, "4.7.0 too many messages, ann@example.org");
    fixture.smtp.fault(Fault::at(FaultPhase::Mail, closing).times(2));
    let worker = fixture.worker(&["--concurrency", "1"]).await;
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(fixture.enqueue(mail_to(&format!("user{number}@example.org"))).await);
    }
    let info = fixture.reports("a pause", |info| info.transports[0].state == TransportState::Paused).await;
    assert_eq!(info.alerts, [], "a pause is no alert");
    for id in ids {
        let report = fixture.reaches(&id, JobState::Sent).await;
        assert_eq!(report.attempt, 0);
    }
    assert_eq!(fixture.smtp.received_count(), 10);
    assert!(!worker.stderr().contains("ann@"), "{}", worker.stderr());
    fixture.reports("main is up", |info| info.transports[0].state == TransportState::Up).await;
}

#[tokio::test]
async fn an_unknown_transport_stops_the_start() {
    let fixture = Fixture::new().await;
    fixture.configure(&[("main", &fixture.smtp, "")], "[queue.emails]\ntransports = ['main', 'spair']\n");
    let mut command = std::process::Command::new(postroom_testkit::target_bin("postroom-worker"));
    command.current_dir(fixture.folder()).env_clear().envs(fixture.env.iter().cloned());
    let mut worker = postroom_testkit::Process::run(command);
    assert_eq!(worker.wait(Duration::from_secs(20)).await.code(), Some(2));
    for word in ["[queue.emails] transports", "spair", "default, main"] {
        assert!(worker.stderr().contains(word), "{}", worker.stderr());
    }
}

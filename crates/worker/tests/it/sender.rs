//! Senders: mail without one, and envelope senders.

use postroom_core::{JobState, Mail};
use postroom_testkit::{FakeResend, FakeSmtp, eventually};
use serde_json::json;

use crate::fixture::{Fixture, LIMIT};

fn mail(fields: serde_json::Value) -> Mail {
    let mut value = json!({"to": "ann@example.org", "subject": "s", "text": "t"});
    let serde_json::Value::Object(more) = fields else { panic!("not an object") };
    value.as_object_mut().expect("an object").extend(more);
    serde_json::from_value(value).expect("a mail")
}

/// A worker without a sender fails no mail: the backlog is sent as soon as a worker has one.
#[tokio::test]
async fn mail_waits_for_a_worker_that_has_a_sender() {
    let mut fixture = Fixture::new().await;
    let sender = fixture.env.iter().position(|(name, _)| name == "SMTP_MAIL_FROM").expect("a sender");
    let sender = fixture.env.remove(sender);
    let worker = fixture.worker(&[]).await;
    let waiting = fixture.enqueue(mail(json!({}))).await;
    let own = fixture.enqueue(mail(json!({"from": "own@example.org"}))).await;
    fixture.reaches(&own, JobState::Sent).await;
    fixture.reaches(&waiting, JobState::Deferred).await;
    let info = fixture.reports("an alert", |info| !info.alerts.is_empty()).await;
    assert!(info.lacks_sender);
    assert_eq!(info.alerts[0].about, "sender");
    assert!(info.alerts[0].text.contains("SMTP_MAIL_FROM is not set; set it for this worker"), "{info:?}");
    let report = fixture.job(&waiting).await;
    let attempt = &report.attempts[0];
    assert_eq!((attempt.verdict.as_str(), attempt.counted), ("sender_missing", false));
    assert!(worker.stderr().contains("mail that names no sender waits"), "{}", worker.stderr());
    drop(worker);
    fixture.env.push(sender);
    let _worker = fixture.worker(&[]).await;
    fixture.reports("the sender", |info| !info.lacks_sender).await;
    fixture.store.retry(&waiting).await.expect("retried");
    fixture.reaches(&waiting, JobState::Sent).await;
    let senders: Vec<_> = fixture.smtp.received().into_iter().map(|mail| mail.mail_from).collect();
    assert_eq!(senders, ["own@example.org", "post@example.org"]);
}

#[tokio::test]
async fn a_transport_has_an_envelope_sender_with_the_jobs_id() {
    let mut fixture = Fixture::new().await;
    fixture.env.retain(|(name, _)| name != "SMTP_HOST");
    let server = FakeSmtp::start().await;
    fixture.configure(&[("default", &server, "envelope_from = 'bounces+{id}@example.net'")], "");
    let _worker = fixture.worker(&[]).await;
    let plain = fixture.enqueue(mail(json!({}))).await;
    fixture.reaches(&plain, JobState::Sent).await;
    let null = fixture.enqueue(mail(json!({"envelope_from": "<>"}))).await;
    fixture.reaches(&null, JobState::Sent).await;
    let senders: Vec<_> = server.received().into_iter().map(|mail| mail.mail_from).collect();
    assert_eq!(senders, [format!("bounces+{plain}@example.net"), String::new()]);
    assert_eq!(server.received()[1].header("From").as_deref(), Some("Postroom <post@example.org>"));
}

#[tokio::test]
async fn a_provider_without_envelope_is_reported_once() {
    let server = FakeResend::start();
    let mut fixture = Fixture::new().await;
    fixture.env.retain(|(name, _)| !name.starts_with("SMTP_HOST"));
    fixture.env.push(("RESEND_API_KEY".to_owned(), FakeResend::API_KEY.to_owned()));
    let table = format!("[transport.default]\nkind = 'resend'\nurl = '{}'\n", server.url());
    std::fs::write(fixture.folder().join("postroom.toml"), table).expect("a file");
    let worker = fixture.worker(&[]).await;
    for _ in 0..2 {
        let id = fixture.enqueue(mail(json!({"envelope_from": "bounces@example.org"}))).await;
        fixture.reaches(&id, JobState::Sent).await;
    }
    let count = || worker.stderr().matches("transport default has no envelope").count();
    eventually(LIMIT, "the warning", async || (count() > 0).then_some(())).await;
    assert_eq!(count(), 1);
}

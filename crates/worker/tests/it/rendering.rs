//! Templates, batches, and mail that cannot be rendered.

use std::fs;

use postroom_core::{JobState, Mail};
use postroom_testkit::eventually;
use serde_json::json;

use crate::fixture::{Fixture, LIMIT, terms};

fn template(fixture: &Fixture, name: &str, subject: &str, text: &str) {
    let folder = fixture.folder().join("templates").join(name);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("subject.txt"), subject).expect("written");
    fs::write(folder.join("body.txt"), text).expect("written");
    fs::write(folder.join("body.html"), format!("<p>{text}</p>")).expect("written");
}

fn mail(value: serde_json::Value) -> Mail {
    serde_json::from_value(value).expect("a mail")
}

#[tokio::test]
async fn a_batch_is_rendered_for_each_recipient() {
    let fixture = Fixture::new().await;
    template(&fixture, "news", "News for {{ name }}", "Hello {{ name }}, {{ title }}");
    let _worker = fixture.worker(&[]).await;
    let shared = mail(json!({"template": "news", "vars": {"title": "T", "name": "you"}}));
    let batch = fixture.enqueue_batch(&fixture.queue, &terms(), shared, 300).await;
    let report = eventually(LIMIT, "the batch is done", async || {
        fixture.store.batch(&batch).await.expect("a reply").filter(|batch| batch.done)
    })
    .await;
    assert_eq!((report.total, report.sent), (300, 300));
    let arrived = fixture.arrived();
    assert_eq!(arrived.len(), 300);
    assert_eq!(arrived.iter().collect::<std::collections::BTreeSet<_>>().len(), 300, "each mail once");
    assert_eq!(fixture.smtp.received()[0].header("Subject").as_deref(), Some("News for you"));
    assert_eq!(fixture.smtp.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_missing_variable_fails_with_its_name_and_template() {
    let fixture = Fixture::new().await;
    template(&fixture, "news", "News", "one\n{{ not_defined }}");
    let _worker = fixture.worker(&[]).await;
    let id = fixture.enqueue(mail(json!({"to": "ann@example.org", "template": "news"}))).await;
    let report = fixture.reaches(&id, JobState::Failed).await;
    let error = report.error.expect("an error");
    assert_eq!(error.code, "invalid");
    assert!(error.message.contains("not_defined") && error.message.contains("news"), "{error:?}");
}

#[tokio::test]
async fn mail_waits_for_a_missing_template() {
    let fixture = Fixture::new().await;
    let _worker = fixture.worker(&[]).await;
    let id = fixture.enqueue(mail(json!({"to": "ann@example.org", "template": "late"}))).await;
    fixture.reaches(&id, JobState::Deferred).await;
    let alert = eventually(LIMIT, "an alert", async || {
        fixture.store.workers().await.expect("workers").into_iter().find_map(|worker| worker.alert)
    })
    .await;
    assert!(alert.contains("late"), "{alert}");
    template(&fixture, "late", "Here", "at last");
    let news = fixture.enqueue(mail(json!({"to": "bob@example.org", "template": "late"}))).await;
    eventually(LIMIT, "the template is loaded", async || {
        fixture.store.retry(&news).await.ok();
        Some(fixture.job(&news).await).filter(|job| job.state == JobState::Sent)
    })
    .await;
    fixture.store.retry(&id).await.expect("retried");
    fixture.reaches(&id, JobState::Sent).await;
}

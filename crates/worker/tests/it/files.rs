//! Attachments and large bodies: stored once, sent complete, in little memory.

use postroom_core::{Attachment, Body, Content, JobState, Mail};
use postroom_testkit::eventually;

use crate::fixture::{Fixture, LIMIT, mail_to, mailbox, plain, terms};

fn with_file(mail: Mail, content: &Content) -> Mail {
    let file = Attachment {
        filename: "report.bin".to_owned(),
        content_type: None,
        content_id: None,
        content: content.clone(),
    };
    Mail { attachments: vec![file], ..mail }
}

#[tokio::test]
async fn a_file_arrives_unchanged() {
    let fixture = Fixture::new().await;
    let content = Content::from((0..100_000_u32).map(|n| (n % 65_521 * 31 % 251) as u8).collect::<Vec<u8>>());
    let one = fixture.enqueue(with_file(mail_to("ann@example.org"), &content)).await;
    let batch = fixture.enqueue_batch(&fixture.queue, &terms(), with_file(plain(), &content), 2).await;
    let _worker = fixture.worker(&[]).await;
    fixture.reaches(&one, JobState::Sent).await;
    for index in 0..2 {
        fixture.reaches(&batch.job(index), JobState::Sent).await;
    }
    let received = fixture.smtp.received();
    assert_eq!(received.len(), 3);
    for mail in received {
        let message = String::from_utf8(mail.data).expect("seven bits").replace("\r\n", "");
        let base64 = serde_json::to_string(&content).expect("JSON");
        assert!(message.contains(base64.trim_matches('"')), "{} bytes", message.len());
    }
}

#[tokio::test]
async fn a_missing_file_fails_its_mail() {
    let fixture = Fixture::new().await;
    let content = Content::from(vec![1; 10_000]);
    let id = fixture.enqueue(with_file(mail_to("ann@example.org"), &content)).await;
    postroom_testkit::PrivateRedis::shared().ask(&["UNLINK", &fixture.key(&format!("a:{}", content.hash()))]);
    let _worker = fixture.worker(&[]).await;
    let job = fixture.reaches(&id, JobState::Failed).await;
    let error = job.error.expect("an error");
    assert!(error.message.contains("the content of its attachment report.bin is gone"), "{error:?}");
    assert_eq!(fixture.smtp.received().len(), 0);
}

#[tokio::test]
async fn a_large_body_arrives_unchanged() {
    let fixture = Fixture::new().await;
    let body = Body::from("All of it, to the end.\n".repeat(8_000));
    let redis = postroom_testkit::PrivateRedis::shared();
    let key = fixture.key(&format!("a:{}", body.hash()));
    let mail = |to: &str| Mail { text: Some(body.clone()), ..mail_to(to) };
    let ids = [fixture.enqueue(mail("ann@example.org")).await, fixture.enqueue(mail("ben@example.org")).await];
    assert_eq!(redis.ask(&["HGET", &key, "jobs"]), "2");
    let _worker = fixture.worker(&[]).await;
    for id in &ids {
        fixture.reaches(id, JobState::Sent).await;
    }
    let received = fixture.smtp.received();
    assert_eq!(received.len(), 2);
    for mail in received {
        assert!(mail.text().replace("\r\n", "\n").contains(&*body), "{} bytes of {}", mail.text().len(), body.size());
    }
    assert_eq!(redis.ask(&["HGET", &key, "jobs"]), "0");
}

#[tokio::test]
async fn a_missing_body_fails_its_mail() {
    let fixture = Fixture::new().await;
    let body = Body::from("x".repeat(20_000));
    let id = fixture.enqueue(Mail { text: Some(body.clone()), ..mail_to("ann@example.org") }).await;
    postroom_testkit::PrivateRedis::shared().ask(&["UNLINK", &fixture.key(&format!("a:{}", body.hash()))]);
    let _worker = fixture.worker(&[]).await;
    let error = fixture.reaches(&id, JobState::Failed).await.error.expect("an error");
    assert!(error.message.contains("the content of its text is gone"), "{error:?}");
    assert_eq!(fixture.smtp.received().len(), 0, "an empty mail was sent");
}

/// The file is stored once in Redis, and the memory of the worker is limited however many mails it
/// sends.
#[tokio::test]
async fn many_mails_with_a_large_file_take_little_memory() {
    const FILE: usize = 5 << 20;
    let mut fixture = Fixture::new().await;
    fixture.env.retain(|(name, _)| !name.starts_with("SMTP_H"));
    fixture.env.push(("MAIL_TRANSPORT".to_owned(), "discard".to_owned()));
    let content = Content::from(vec![7; FILE]);
    let mut ids = Vec::new();
    for number in 0..60 {
        let mail = with_file(Mail { to: vec![mailbox(&format!("a{number}@example.org"))], ..plain() }, &content);
        ids.push(fixture.enqueue(mail).await);
    }
    let redis = postroom_testkit::PrivateRedis::shared();
    let size = redis.ask(&["MEMORY", "USAGE", &fixture.key(&format!("a:{}", content.hash()))]);
    assert!((FILE..FILE * 2).contains(&size.parse().expect("a number")), "{size}");
    for id in &ids {
        let payload = redis.ask(&["STRLEN", &fixture.payload_key(id)]);
        assert!(payload.parse::<u64>().expect("a number") < 1_000, "{payload}");
    }
    let worker = fixture.worker(&["--concurrency", "40"]).await;
    let mut peak_kb = 0;
    eventually(LIMIT * 3, "all are sent", async || {
        peak_kb = peak_kb.max(rss_kb(worker.pid()));
        let queue = fixture.store.queue(&fixture.queue).await.ok()?;
        (queue.sent_total == 60).then_some(())
    })
    .await;
    assert!((1..200_000).contains(&peak_kb), "{peak_kb} kB");
}

fn rss_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

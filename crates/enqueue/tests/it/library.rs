//! The public API.

use std::{sync::Arc, time::Duration};

use postroom_core::settings::Sources;
use postroom_enqueue::{Attachment, Due, JobState, Mail, Options, Postroom, Settings};
use postroom_testkit::{FakeSmtp, PrivateRedis, unique_prefix};

fn settings(more: &[(&str, &str)]) -> Settings {
    let url = PrivateRedis::shared().url();
    let prefix = unique_prefix();
    let all = [("REDIS_URL", url.as_str()), ("POSTROOM_PREFIX", &prefix)];
    let env = all.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Settings::from_sources(&Sources { env, ..Sources::default() }).expect("settings")
}

fn mail() -> Mail {
    Mail {
        to: vec!["Ann <ann@example.org>".parse().expect("an address")],
        subject: Some("Hi".to_owned()),
        text: Some("Hello".into()),
        ..Mail::default()
    }
}

#[tokio::test]
async fn a_mail_is_enqueued_and_its_state_is_returned() {
    let postroom = Postroom::with_settings(settings(&[]));
    let id = postroom.send(mail()).await.expect("an id");
    let job = postroom.status(&id).await.expect("a reply").expect("a job");
    assert_eq!(job.state, JobState::Queued);
    assert_eq!(postroom.wait(&id, Duration::from_millis(50)).await.expect("a job").state, JobState::Queued);
    let options = Options { due: Due::In(Duration::from_secs(60)), key: Some("k".to_owned()), ..Options::default() };
    let later = postroom.send(mail()).with(options.clone()).await.expect("an id");
    assert_eq!(postroom.send(mail()).with(options).await.expect("an id"), later);
    let empty = postroom.send(Mail::default()).await.expect_err("no recipient").to_string();
    assert!(empty.contains("no recipient"), "{empty}");
}

/// Mails are sent to Redis in few calls, but each with its own terms.
#[tokio::test]
async fn mails_of_concurrent_callers_are_all_enqueued() {
    let postroom = Arc::new(Postroom::with_settings(settings(&[])));
    let send = |number: usize| {
        let postroom = Arc::clone(&postroom);
        let to = vec![format!("a{number}@example.org").parse().expect("an address")];
        let later = Options { due: Due::In(Duration::from_secs(60)), ..Options::default() };
        let options = if number.is_multiple_of(3) { later } else { Options::default() };
        tokio::spawn(async move { postroom.send(Mail { to, ..mail() }).with(options).await })
    };
    let sending: Vec<_> = (0..500).map(send).collect();
    for (number, sent) in sending.into_iter().enumerate() {
        let id = sent.await.expect("no panic").expect("an id");
        let job = postroom.status(&id).await.expect("a reply").expect("a job");
        assert_eq!(job.to[0].address.as_str(), format!("a{number}@example.org"));
        assert_eq!(job.state, if number.is_multiple_of(3) { JobState::Scheduled } else { JobState::Queued });
    }
}

/// Cancelled callers do not block later ones.
#[tokio::test]
async fn callers_may_be_cancelled() {
    let postroom = Arc::new(Postroom::with_settings(settings(&[])));
    let cancelled: Vec<_> = (0..50)
        .map(|_| {
            let postroom = Arc::clone(&postroom);
            tokio::spawn(async move { postroom.send(mail()).await })
        })
        .collect();
    tokio::task::yield_now().await;
    cancelled.iter().for_each(tokio::task::JoinHandle::abort);
    let id = postroom.send(mail()).await.expect("an id");
    assert!(postroom.status(&id).await.expect("a reply").is_some());
}

#[tokio::test]
async fn an_interrupted_bulk_can_be_repeated() {
    let postroom = Postroom::with_settings(settings(&[]));
    let shared = Mail { to: Vec::new(), ..mail() };
    let options = Options { key: Some("bulk".to_owned()), ..Options::default() };
    let own = |n: u32| Mail { to: vec![format!("a{n}@example.org").parse().expect("an address")], ..Mail::default() };
    let mut input = postroom.bulk(shared.clone()).rows("1").with(options.clone()).start().await.expect("a batch");
    for number in 0..400 {
        input.add(own(number)).await.expect("added");
    }
    let id = input.id().clone();
    drop(input);
    let mut input = postroom.bulk(shared).rows("1").with(options).start().await.expect("a batch");
    assert_eq!(input.id(), &id);
    for number in 0..500 {
        input.add(own(number)).await.expect("added");
    }
    let summary = input.finish(2, 3).await.expect("a summary");
    assert!(summary.total == 500 && summary.known >= 200, "{summary:?}");
    let batch = postroom.batch_status(&id).await.expect("a reply").expect("a batch");
    assert_eq!((batch.total, batch.invalid, batch.duplicates, batch.sealed), (500, 2, 3, true));
}

#[tokio::test]
async fn a_mail_that_can_not_be_sent_is_rejected_before_anything_is_queued() {
    let templates = concat!(env!("CARGO_MANIFEST_DIR"), "/../../templates");
    let postroom = Postroom::with_settings(settings(&[("TEMPLATES_DIR", templates), ("MAX_MESSAGE_SIZE", "20kB")]));
    let vars = |json| serde_json::from_value(json).expect("variables");
    let shared = Mail {
        template: Some("newsletter".to_owned()),
        vars: vars(serde_json::json!({ "title": "T", "intro": "I" })),
        ..Mail::default()
    };
    let to = vec!["a@example.org".parse().expect("an address")];
    let mut input = postroom.bulk(shared).start().await.expect("a batch");
    let named = Mail { to: to.clone(), vars: vars(serde_json::json!({ "name": "Ann" })), ..Mail::default() };
    input.add(named.clone()).await.expect("added");
    let nameless = input.add(Mail { to, ..Mail::default() }).await.expect_err("no name").to_string();
    assert!(nameless.contains("mail 2:") && nameless.contains("name"), "{nameless}");
    for _ in 0..10 {
        input.add(named.clone()).await.expect("added");
    }
    let content = vec![7; 20_000];
    let file =
        Attachment { filename: "a.bin".to_owned(), content_type: None, content_id: None, content: content.into() };
    let large = input.add(Mail { attachments: vec![file], ..named }).await.expect_err("too large").to_string();
    assert!(large.contains("mail 12:") && large.contains("MAX_MESSAGE_SIZE allows 20000"), "{large}");
    assert_eq!(postroom.batch_status(input.id()).await.expect("a reply").expect("a batch").total, 0);
}

/// Late mails of a bulk are checked too, and all methods apply the same limits.
#[tokio::test]
async fn every_method_checks_every_mail() {
    let postroom = Postroom::with_settings(settings(&[("SMTP_MAIL_FROM", "d@example.org")]));
    let long = Mail { subject: Some("s".repeat(999)), ..mail() };
    let mut input = postroom.bulk(Mail { to: Vec::new(), ..mail() }).start().await.expect("a batch");
    for number in 0..20 {
        let own = Mail { to: vec![format!("a{number}@example.org").parse().expect("an address")], ..Mail::default() };
        input.add(own).await.expect("added");
    }
    let of_bulk = input.add(long.clone()).await.expect_err("too long").to_string();
    assert!(of_bulk.starts_with("subject: mail 21: "), "{of_bulk}");
    assert_eq!(input.finish(1, 0).await.expect("a summary").total, 20);
    for error in [
        postroom.check(&long).await.expect_err("too long").to_string(),
        postroom.send(long.clone()).await.expect_err("too long").to_string(),
        postroom.send_now(&long, None).await.expect_err("too long").to_string(),
        postroom.bulk(long.clone()).start().await.expect_err("too long").to_string(),
    ] {
        assert!(error.starts_with("subject: the subject") && error.contains("999 octets; it may have 998"), "{error}");
    }
    for name in ["n".repeat(256), "a\nb".to_owned()] {
        let error = postroom.bulk(Mail::default()).name(name).start().await.expect_err("no name").to_string();
        assert!(error.starts_with("name: the batch's name"), "{error}");
    }
    let options = Options { key: Some("k".repeat(256)), ..Options::default() };
    let error = postroom.send(mail()).with(options).await.expect_err("too long").to_string();
    assert!(error.starts_with("key: ") && error.contains("256 octets"), "{error}");
}

#[tokio::test]
async fn a_mail_is_sent_in_the_foreground() {
    let server = FakeSmtp::start().await;
    let port = server.port().to_string();
    let host = server.host();
    let smtp = [
        ("SMTP_HOST", host.as_str()),
        ("SMTP_PORT", &port),
        ("SMTP_SECURITY", "none"),
        ("SMTP_MAIL_FROM", "d@example.org"),
    ];
    let postroom = Postroom::with_settings(settings(&smtp));
    let sent = postroom.send_now(&mail(), None).await.expect("sent");
    assert_eq!(server.received()[0].header("Message-ID"), Some(format!("<{}>", sent.message_id)));
    postroom.close().await;
}

/// Shared variables are stored with the batch, so a row with a sensitive template must not use
/// them.
#[tokio::test]
async fn a_row_with_a_sensitive_template_must_not_share_variables() {
    let file = "[template.reset]\nsensitive = true\n".to_owned();
    let (url, prefix) = (PrivateRedis::shared().url(), unique_prefix());
    let env = [("REDIS_URL", url), ("POSTROOM_PREFIX", prefix)].map(|(name, value)| (name.to_owned(), value)).into();
    let sources = Sources { env, file: Some(("postroom.toml".to_owned(), file)), ..Sources::default() };
    let postroom = Postroom::with_settings(Settings::from_sources(&sources).expect("settings"));
    let mut shared = Mail::default();
    shared.vars.insert("token".to_owned(), "s3cret".into());
    let mut input = postroom.bulk(shared).start().await.expect("a batch");
    input.add(mail()).await.expect("added");
    let own = Mail { to: mail().to, template: Some("reset".to_owned()), ..Mail::default() };
    let problem = input.add(own).await.expect_err("refused").to_string();
    assert!(problem.contains("\"reset\" are sensitive"), "{problem}");
}

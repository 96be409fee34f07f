//! Transport for the provider Resend.

use std::{sync::Arc, time::Duration};

use postroom_core::{
    Mail,
    settings::{ResendSettings, TransportSettings},
};
use postroom_mail::{Attempt, Commit, Message, Rendered, Scope, Transport, Verdict, compose, login_check};
use postroom_testkit::{FakeResend, eventually, resend::ApiFault};
use serde_json::{Value, json};

use crate::{
    fixture::{ALL, Destination, Fixture, account_at, addresses, message, verdicts},
    identity,
};

impl Fixture {
    fn provider(&self) -> &FakeResend {
        match &self.destination {
            Destination::Provider(server) => server,
            _ => panic!("a provider"),
        }
    }
}

/// Fixture with a short time limit.
fn with_short_limit(server: FakeResend) -> Fixture {
    let settings = TransportSettings::Resend(ResendSettings { timeout: Duration::from_secs(1), ..account_at(&server) });
    Fixture::new(&settings, &Arc::default(), Destination::Provider(server))
}

fn composed(mail: Value) -> Message {
    let mail: Mail = crate::mail(mail);
    let text =
        Rendered::literal(mail.subject.as_deref().unwrap_or_default(), mail.text.as_deref(), mail.html.as_deref());
    compose(&Arc::new(mail), text, &identity(), Some(&"Shop <shop@example.org>".parse().expect("a sender")))
        .expect("composed")
}

async fn sent(fixture: &Fixture, message: &Message) -> Attempt {
    fixture.transport.send(message, &message.envelope.rcpt_to, async { Commit::Proceed }).await
}

/// Awaits this number of connections. A client may finish connecting before the server has counted
/// it.
async fn connected(server: &FakeResend, times: usize) {
    eventually(Duration::from_secs(10), "connections", async || (server.connections() == times).then_some(())).await;
}

#[tokio::test]
async fn a_mail_is_sent_as_json_fields() {
    let fixture = Fixture::resend(FakeResend::start());
    let message = composed(json!({
        "from": "\"O'Brien & <b>\" <s@example.org>", "to": ["Żółć <a@example.net>", "b@example.net"],
        "cc": "c@example.net", "bcc": "hidden@example.net", "reply_to": "r@example.org",
        "subject": "żółć", "text": "text\n", "html": "<p>ż</p>",
        "headers": {"X-Own": "1"},
        "attachments": [
            {"filename": "a.pdf", "content_type": "application/pdf", "content": "AAEC"},
            {"filename": "logo.png", "content_id": "<logo@x>", "content": "eA=="},
        ],
    }));
    let attempt = sent(&fixture, &message).await;
    let mails = fixture.provider().mails();
    assert_eq!((attempt.verdict, attempt.code, attempt.phase), (Verdict::Accepted, Some(200), Some("answer")));
    assert_eq!((attempt.receipt.as_ref(), mails.len()), (Some(&mails[0].id), 1));
    assert_eq!(mails[0].key.as_deref(), Some("emails-01JD0000000000000000000000/0"));
    assert_eq!(
        mails[0].body,
        json!({
            "from": "\"O'Brien & <b>\" <s@example.org>", "to": ["Żółć <a@example.net>", "b@example.net"],
            "cc": ["c@example.net"], "bcc": ["hidden@example.net"], "reply_to": ["r@example.org"], "subject": "żółć",
            "html": "<p>ż</p>", "text": "text\n",
            "headers": {
                "Auto-Submitted": "auto-generated", "X-Own": "1",
                "Message-ID": "<emails-01JD0000000000000000000000@example.org>",
            },
            "attachments": [
                {"filename": "a.pdf", "content": "AAEC", "content_type": "application/pdf"},
                {"filename": "logo.png", "content": "eA==", "content_id": "logo@x"},
            ],
        })
    );
}

/// The verdict on each error is covered by the tests of the table.
#[tokio::test]
async fn an_error_is_recorded_with_its_name() {
    for (status, name, message, verdict) in [
        (429, "rate_limit_exceeded", "Too many requests.", Verdict::Throttled),
        (403, "invalid_api_key", "API key is invalid.", Verdict::Account),
        (403, "validation_error", "The example.org domain is not verified.", Verdict::PolicyRefused),
        (422, "validation_error", "Invalid `to` field.", Verdict::RecipientRefused),
        (422, "missing_required_field", "Missing `x` field.", Verdict::Invalid),
        (451, "security_error", "We may have found a security issue.", Verdict::Later),
        (500, "internal_server_error", "An unexpected error occurred.", Verdict::NothingSent),
    ] {
        let fixture = Fixture::resend(FakeResend::start());
        fixture.provider().fault(ApiFault::with_message(status, name, message), 1);
        let (attempt, commits) = fixture.send(&self::message(), &addresses(&ALL), Commit::Proceed).await;
        assert_eq!((attempt.verdict, attempt.code, attempt.phase, commits), (verdict, Some(status), Some("answer"), 1));
        assert_eq!(attempt.reply, format!("{status} {name}: {message}"));
        assert_eq!(verdicts(&attempt), ALL.map(|address| (address, verdict)));
        assert!(attempt.recipients.iter().all(|own| own.code == Some(status) && !own.suppress), "{attempt:?}");
        assert_eq!(fixture.provider().requests().len(), 1, "{name} is not retried");
    }
}

#[tokio::test]
async fn a_wrong_key_is_an_account_problem() {
    let server = FakeResend::start();
    let settings = ResendSettings { api_key: "re_wrong".to_owned().into(), ..account_at(&server) };
    let settings = TransportSettings::Resend(settings);
    let error = login_check(&settings).await.expect_err("refused").to_string();
    assert!(error.contains("403 invalid_api_key") && !error.contains("re_wrong"), "{error}");
    let fixture = Fixture::new(&settings, &Arc::default(), Destination::Provider(server));
    let attempt = sent(&fixture, &message()).await;
    assert_eq!(attempt.verdict, Verdict::Account, "{attempt:?}");
    assert!(!format!("{:?}", fixture.transport).contains("re_wrong"), "{:?}", fixture.transport);
}

#[tokio::test]
async fn a_key_is_checked_without_sending() {
    for (server, text) in [
        (FakeResend::start(), "verified to send from: example.org"),
        (FakeResend::builder().sending_only().start(), "restricted to sending"),
    ] {
        let description = login_check(&TransportSettings::Resend(account_at(&server))).await.expect("the key works");
        assert!(description.contains(text) && description.contains(&server.url()), "{description}");
        assert!(server.requests().is_empty());
    }
    let server = FakeResend::start();
    server.stop();
    let error = login_check(&TransportSettings::Resend(account_at(&server))).await.expect_err("away").to_string();
    assert!(error.contains("connect"), "{error}");
}

#[tokio::test]
async fn rate_limits_are_reported_as_hints() {
    let fixture = Fixture::resend(FakeResend::builder().rate(2).start());
    for generation in 0..2 {
        let message = Message { generation, ..message() };
        let attempt = sent(&fixture, &message).await;
        assert_eq!((attempt.verdict, attempt.hint.limit), (Verdict::Accepted, Some(2)), "{attempt:?}");
    }
    let attempt = sent(&fixture, &Message { generation: 2, ..message() }).await;
    assert_eq!((attempt.verdict, attempt.hint.limit), (Verdict::Throttled, Some(2)), "{attempt:?}");
    assert_eq!((attempt.hint.scope, attempt.hint.retry_after), (Scope::Rate, Some(Duration::from_secs(1))));

    let fixture = Fixture::resend(FakeResend::start());
    for (name, scope, longest) in [("daily_quota_exceeded", "daily", 1), ("monthly_quota_exceeded", "monthly", 31)] {
        fixture.provider().fault(ApiFault::error(429, name).header("retry-after", "1"), 1);
        let attempt = sent(&fixture, &message()).await;
        let until = attempt.hint.retry_after.expect("a time");
        assert_eq!((attempt.verdict, attempt.hint.scope), (Verdict::Throttled, Scope::Quota(scope)), "{attempt:?}");
        assert!(until <= Duration::from_secs(longest * 86_400), "{until:?}");
    }
}

/// Whatever the result of the first request, the idempotency key prevents a duplicate.
#[tokio::test]
async fn a_request_without_an_answer_is_repeated() {
    for fault in [
        ApiFault::Close,
        ApiFault::AcceptThenClose,
        ApiFault::Page(502),
        ApiFault::AcceptThenPage(504),
        ApiFault::error(409, "concurrent_idempotent_requests"),
    ] {
        let fixture = Fixture::resend(FakeResend::start());
        fixture.provider().fault(fault.clone(), 1);
        let (attempt, commits) = fixture.send(&message(), &addresses(&ALL), Commit::Proceed).await;
        assert_eq!((attempt.verdict, commits), (Verdict::Accepted, 1), "{fault:?}: {attempt:?}");
        let (mails, keys) = (fixture.provider().mails(), fixture.provider().requests());
        assert_eq!((mails.len(), keys.len()), (1, 2), "{fault:?}");
        assert_eq!(keys[0].key, keys[1].key);
    }
}

#[tokio::test]
async fn a_slow_answer_is_awaited_under_the_same_key() {
    let fixture = with_short_limit(FakeResend::start());
    fixture.provider().fault(ApiFault::Slow(Duration::from_millis(600)), 1);
    let attempt = sent(&fixture, &message()).await;
    assert_eq!((attempt.verdict, fixture.provider().mails().len()), (Verdict::Accepted, 1), "{attempt:?}");
}

/// After three requests the result is unknown.
#[tokio::test]
async fn a_mail_without_an_answer_is_unknown() {
    for (fault, then, text) in [
        (ApiFault::Close, ApiFault::Close, "connection"),
        (ApiFault::AcceptThenClose, ApiFault::error(429, "rate_limit_exceeded"), "then 429 rate_limit_exceeded"),
        (ApiFault::AcceptThenClose, ApiFault::error(500, "internal_server_error"), "then 500 internal_server_error"),
        (ApiFault::Page(502), ApiFault::Page(502), "502"),
        (ApiFault::Page(200), ApiFault::Page(200), "200"),
    ] {
        let fixture = Fixture::resend(FakeResend::start());
        fixture.provider().fault(fault.clone(), 1);
        fixture.provider().fault(then, 2);
        let attempt = sent(&fixture, &message()).await;
        assert_eq!((attempt.verdict, attempt.phase), (Verdict::Unknown, Some("answer")), "{fault:?}: {attempt:?}");
        assert!(attempt.reply.contains(text), "{attempt:?}");
        assert_eq!(fixture.provider().requests().len(), 3, "{fault:?}");
        assert!(!attempt.nothing_was_sent());
    }
    let fixture = with_short_limit(FakeResend::start());
    fixture.provider().fault(ApiFault::Slow(Duration::from_secs(60)), 3);
    let attempt = sent(&fixture, &message()).await;
    assert_eq!(attempt.verdict, Verdict::Unknown, "{attempt:?}");
    assert!(attempt.reply.contains("no answer within"), "{attempt:?}");
}

/// The first request would have been refused too.
#[tokio::test]
async fn a_refusal_settles_an_unknown_result() {
    let fixture = Fixture::resend(FakeResend::start());
    fixture.provider().fault(ApiFault::Close, 1);
    fixture.provider().fault(ApiFault::error(422, "invalid_attachment"), 1);
    let attempt = sent(&fixture, &message()).await;
    assert_eq!((attempt.verdict, fixture.provider().requests().len()), (Verdict::ContentRefused, 2), "{attempt:?}");
}

/// The template may have changed since the attempt with the unknown result.
#[tokio::test]
async fn a_key_used_with_other_content_is_unknown() {
    let fixture = Fixture::resend(FakeResend::start());
    assert_eq!(sent(&fixture, &message()).await.verdict, Verdict::Accepted);
    let mut changed = message();
    changed.rendered.text = "other".to_owned();
    let attempt = sent(&fixture, &changed).await;
    assert_eq!((attempt.verdict, attempt.code), (Verdict::Unknown, Some(409)), "{attempt:?}");
    assert!(attempt.reply.contains("invalid_idempotent_request"), "{attempt:?}");
    assert_eq!(fixture.provider().requests().len(), 2, "repeating it would not help");
    let again = sent(&fixture, &Message { generation: 1, ..changed }).await;
    assert_eq!(
        (again.verdict, fixture.provider().mails().len()),
        (Verdict::Accepted, 2),
        "a new generation is another mail"
    );
}

/// Recipients in Bcc must not see each other.
#[tokio::test]
async fn bcc_recipients_are_sent_one_request_each() {
    let fixture = Fixture::resend(FakeResend::start());
    let message = composed(json!({"bcc": ALL, "subject": "s", "text": "t"}));
    let mut open = addresses(&ALL);
    for (round, address) in ALL.iter().enumerate() {
        let attempt = fixture.transport.send(&message, &open, async { Commit::Proceed }).await;
        let last = round + 1 == ALL.len();
        assert_eq!(attempt.verdict, if last { Verdict::Accepted } else { Verdict::TooManyRecipients }, "{attempt:?}");
        open = attempt
            .recipients
            .iter()
            .filter(|own| own.verdict != Verdict::Accepted)
            .map(|own| own.address.clone())
            .collect();
        assert_eq!(fixture.provider().mails()[round].recipients(), [*address]);
    }
    let keys: std::collections::HashSet<_> = fixture.provider().mails().into_iter().map(|mail| mail.key).collect();
    assert_eq!(keys.len(), 3, "each request has its own key");
}

#[tokio::test]
async fn a_closed_idle_connection_costs_no_attempt() {
    let fixture = Fixture::resend(FakeResend::start());
    assert_eq!(sent(&fixture, &message()).await.verdict, Verdict::Accepted);
    fixture.provider().stop();
    fixture.provider().start_again();
    let attempt = sent(&fixture, &Message { generation: 1, ..message() }).await;
    assert_eq!((attempt.verdict, fixture.provider().mails().len()), (Verdict::Accepted, 2), "{attempt:?}");
}

#[tokio::test]
async fn a_connection_is_open_before_the_mail_is_marked_as_begun() {
    let fixture = Fixture::resend(FakeResend::start());
    fixture.transport.warm(&[]).await.expect("warm");
    connected(fixture.provider(), 1).await;
    let (attempt, _) = fixture.send(&message(), &addresses(&ALL), Commit::Abort).await;
    assert_eq!((attempt.verdict, fixture.provider().requests().len()), (Verdict::Aborted, 0), "{attempt:?}");
    let server = fixture.provider();
    let commit = async {
        assert_eq!((server.connections(), server.requests().len()), (1, 0));
        Commit::Proceed
    };
    let message = message();
    let attempt = fixture.transport.send(&message, &message.envelope.rcpt_to, commit).await;
    assert_eq!((attempt.verdict, server.connections()), (Verdict::Accepted, 1), "{attempt:?}");
    fixture.transport.close().await;
    assert_eq!(sent(&fixture, &message).await.verdict, Verdict::Accepted);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn certificates_are_verified() {
    let server = FakeResend::builder().tls().start();
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, server.ca_pem()).expect("written");
    let trusting = ResendSettings { ca_file: Some(ca_file), ..account_at(&server) };
    let message = composed(json!({"to": "a@example.net", "subject": "s", "text": "x".repeat(100_000)}));
    for (settings, verdict, phase) in
        [(trusting, Verdict::Accepted, "answer"), (account_at(&server), Verdict::NothingSent, "tls")]
    {
        let sink = Arc::new(crate::fixture::MemorySink::default());
        let transport =
            Transport::from_settings("main", &TransportSettings::Resend(settings), sink).expect("a transport");
        let attempt = transport.send(&message, &message.envelope.rcpt_to, async { Commit::Proceed }).await;
        assert_eq!((attempt.verdict, attempt.phase), (verdict, Some(phase)), "{attempt:?}");
    }
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn a_key_echoed_by_the_api_is_masked_in_attempts() {
    let fixture = Fixture::resend(FakeResend::start());
    let text = format!("the key {} is not known here", FakeResend::API_KEY);
    fixture.provider().fault(ApiFault::with_message(401, "invalid_api_key", &text), 1);
    let attempt = sent(&fixture, &message()).await;
    assert!(attempt.reply.contains("the key *** is not known here"), "{attempt:?}");
    assert!(!format!("{attempt:?}").contains(FakeResend::API_KEY), "{attempt:?}");
}

//! Mail that leaves by a provider that accepts two requests a second.

use std::collections::HashSet;

use postroom_core::JobState;
use postroom_testkit::{
    FakeResend, eventually,
    resend::{AcceptedMail, ApiFault},
};

use crate::fixture::{Fixture, LIMIT, mail_to, plain, terms};

async fn with_provider(server: &FakeResend, more: &str) -> Fixture {
    let mut fixture = Fixture::new().await;
    fixture.env.retain(|(name, _)| !name.starts_with("SMTP_HOST"));
    fixture.env.push(("RESEND_API_KEY".to_owned(), FakeResend::API_KEY.to_owned()));
    let (url, folder) = (server.url(), fixture.folder().join("postroom.toml"));
    std::fs::write(folder, format!("[transport.default]\nkind = 'resend'\nurl = '{url}'\n{more}\n")).expect("a file");
    fixture
}

#[tokio::test]
async fn a_rate_of_two_a_second_is_kept_and_no_mail_is_sent_twice() {
    const MAILS: usize = 12;
    let server = FakeResend::builder().rate(2).start();
    let fixture = with_provider(&server, "rate = '110/m'").await;
    let batch = fixture.enqueue_batch(&fixture.queue, &terms(), plain(), MAILS as u64).await;
    let worker = fixture.worker(&["--concurrency", "4"]).await;
    server.wait_for(MAILS, LIMIT).await;
    let report = eventually(LIMIT, "all are sent", async || {
        let report = fixture.store.batch(&batch).await.ok()??;
        (report.sent == MAILS as u64).then_some(report)
    })
    .await;
    assert_eq!((report.failed, report.unknown), (0, 0));
    let to: HashSet<String> = server.mails().iter().flat_map(AcceptedMail::recipients).collect();
    assert_eq!((to.len(), server.mails().len()), (MAILS, MAILS));
    // On a busy machine a mail may leave a moment late and the next on time. A refusal for that
    // costs nothing.
    let refused = server.requests().iter().filter(|request| request.status == Some(429)).count();
    assert!(server.most_in_a_second() <= 3 && refused <= 3, "{refused} refused: {:?}", server.requests());
    assert!(!worker.stderr().contains(FakeResend::API_KEY));
}

#[tokio::test]
async fn a_manual_retry_is_a_new_mail_and_a_lost_reply_is_not() {
    let server = FakeResend::start();
    let fixture = with_provider(&server, "").await;
    server.fault(ApiFault::AcceptThenClose, 1);
    let _worker = fixture.worker(&[]).await;
    let id = fixture.enqueue(mail_to("ann@example.org")).await;
    let report = fixture.reaches(&id, JobState::Sent).await;
    assert_eq!(server.mails().len(), 1, "the provider accepted two mails");
    assert_eq!((report.receipt.as_ref(), report.attempts.len()), (Some(&server.mails()[0].id), 1));

    server.fault(ApiFault::with_message(422, "validation_error", "Invalid `to` field."), 1);
    let refused = fixture.enqueue(mail_to("ben@example.org")).await;
    let report = fixture.reaches(&refused, JobState::Failed).await;
    assert_eq!((report.attempts[0].verdict.as_str(), report.attempts[0].code), ("recipient_refused", Some(422)));
    fixture.store.retry(&refused).await.expect("retried");
    fixture.reaches(&refused, JobState::Sent).await;
    assert_eq!(server.mails()[1].key, Some(format!("{refused}/1")));
}

#[tokio::test]
async fn a_refused_key_fails_no_mail() {
    let server = FakeResend::start();
    let mut fixture = with_provider(&server, "").await;
    fixture.env.retain(|(name, _)| name != "RESEND_API_KEY");
    fixture.env.push(("RESEND_API_KEY".to_owned(), "re_wrong".to_owned()));
    let _worker = fixture.worker(&[]).await;
    let id = fixture.enqueue(mail_to("ann@example.org")).await;
    let info =
        fixture.reports("the transport is down", |info| info.transports.iter().any(|one| one.why.is_some())).await;
    let why = info.transports[0].why.clone().unwrap_or_default();
    assert!(why.contains("403 invalid_api_key") && !why.contains("re_wrong"), "{why}");
    let state = fixture.job(&id).await.state;
    assert!(matches!(state, JobState::Queued | JobState::Deferred | JobState::Sending), "{state}");
}

//! Mail that leaves by a provider that accepts two requests a second.

use std::collections::HashSet;

use postroom_core::JobState;
use postroom_testkit::{
    FakeResend, eventually,
    resend::{Mailed, Trouble},
};

use crate::bench::{Bench, LIMIT, mail_to, plain, terms};

async fn with_provider(server: &FakeResend, more: &str) -> Bench {
    let mut bench = Bench::new().await;
    bench.env.retain(|(name, _)| !name.starts_with("SMTP_HOST"));
    bench.env.push(("RESEND_API_KEY".to_owned(), FakeResend::API_KEY.to_owned()));
    let (url, folder) = (server.url(), bench.folder().join("postroom.toml"));
    std::fs::write(folder, format!("[transport.default]\nkind = 'resend'\nurl = '{url}'\n{more}\n")).expect("a file");
    bench
}

#[tokio::test]
async fn a_rate_of_two_a_second_is_kept_and_no_mail_is_sent_twice() {
    const MAILS: usize = 12;
    let server = FakeResend::builder().rate(2).start();
    let bench = with_provider(&server, "rate = '110/m'").await;
    let batch = bench.enqueue_batch(&bench.queue, &terms(), plain(), MAILS as u64).await;
    let worker = bench.worker(&["--concurrency", "4"]).await;
    server.wait_for(MAILS, LIMIT).await;
    let report = eventually(LIMIT, "all are sent", async || {
        let report = bench.store.batch(&batch).await.ok()??;
        (report.sent == MAILS as u64).then_some(report)
    })
    .await;
    assert_eq!((report.failed, report.unknown), (0, 0));
    let to: HashSet<String> = server.mails().iter().flat_map(Mailed::recipients).collect();
    assert_eq!((to.len(), server.mails().len()), (MAILS, MAILS));
    // On a busy machine a mail may leave a moment late and the next on time. A refusal for that
    // costs nothing.
    let refused = server.asked().iter().filter(|asked| asked.status == Some(429)).count();
    assert!(server.most_in_a_second() <= 3 && refused <= 3, "{refused} refused: {:?}", server.asked());
    assert!(!worker.stderr().contains(FakeResend::API_KEY));
}

#[tokio::test]
async fn a_manual_retry_is_a_new_mail_and_a_lost_reply_is_not() {
    let server = FakeResend::start();
    let bench = with_provider(&server, "").await;
    server.trouble(Trouble::KeepThenCut, 1);
    let _worker = bench.worker(&[]).await;
    let id = bench.enqueue(mail_to("ann@example.org")).await;
    let report = bench.reaches(&id, JobState::Sent).await;
    assert_eq!(server.mails().len(), 1, "the provider accepted two mails");
    assert_eq!((report.receipt.as_ref(), report.attempts.len()), (Some(&server.mails()[0].id), 1));

    server.trouble(Trouble::saying(422, "validation_error", "Invalid `to` field."), 1);
    let refused = bench.enqueue(mail_to("ben@example.org")).await;
    let report = bench.reaches(&refused, JobState::Failed).await;
    assert_eq!((report.attempts[0].verdict.as_str(), report.attempts[0].code), ("recipient_refused", Some(422)));
    bench.store.retry(&refused).await.expect("retried");
    bench.reaches(&refused, JobState::Sent).await;
    assert_eq!(server.mails()[1].key, Some(format!("{refused}/1")));
}

#[tokio::test]
async fn a_refused_key_fails_no_mail() {
    let server = FakeResend::start();
    let mut bench = with_provider(&server, "").await;
    bench.env.retain(|(name, _)| name != "RESEND_API_KEY");
    bench.env.push(("RESEND_API_KEY".to_owned(), "re_wrong".to_owned()));
    let _worker = bench.worker(&[]).await;
    let id = bench.enqueue(mail_to("ann@example.org")).await;
    let info = bench.reports("the transport is down", |info| info.transports.iter().any(|one| one.why.is_some())).await;
    let why = info.transports[0].why.clone().unwrap_or_default();
    assert!(why.contains("403 invalid_api_key") && !why.contains("re_wrong"), "{why}");
    let state = bench.job(&id).await.state;
    assert!(matches!(state, JobState::Queued | JobState::Deferred | JobState::Sending), "{state}");
}

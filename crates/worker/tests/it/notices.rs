//! A notice that a batch is done is sent once.

use postroom_core::{JobState, Mail, QueueName};
use postroom_testkit::eventually;

use crate::bench::{Bench, LIMIT, mailbox, plain, terms};

#[tokio::test]
async fn the_notice_of_a_batch_is_sent_once() {
    let bench = Bench::new().await;
    let bulk = QueueName::bulk();
    let shared = Mail { subject: Some("News".to_owned()), ..plain() };
    let batch = bench.enqueue_batch(&bulk, &terms(), shared, 5).await;
    bench.store.notify_of_batch(&batch, &mailbox("Boss <boss@example.org>").into()).await.expect("noted");
    let _workers = [bench.worker(&[]).await, bench.worker(&[]).await];
    let notice = eventually(LIMIT, "the notice", async || {
        let all = bench.smtp.received();
        all.into_iter().find(|mail| mail.rcpt_to == ["boss@example.org"])
    })
    .await;
    assert_eq!(notice.header("Subject").as_deref(), Some("news is done: 5 of 5 sent"));
    assert!(notice.text().contains("sent: 5") && notice.text().contains(&batch.to_string()), "{}", notice.text());
    eventually(LIMIT, "no notice is left", async || bench.store.notices(&bulk).await.ok().filter(Vec::is_empty)).await;
    // A notice that is requested again is not sent again.
    bench.store.notify_of_batch(&batch, &mailbox("boss@example.org").into()).await.expect("noted");
    assert_eq!(bench.store.notices(&bulk).await.expect("a reply"), []);
    let later = bench.enqueue(crate::bench::mail_to("ann@example.org")).await;
    bench.reaches(&later, JobState::Sent).await;
    assert_eq!(bench.arrived().iter().filter(|to| *to == "boss@example.org").count(), 1);
}

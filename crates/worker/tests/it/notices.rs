//! A notice that a batch is done is sent once.

use postroom_core::{JobState, Mail, QueueName};
use postroom_testkit::eventually;

use crate::fixture::{Fixture, LIMIT, mailbox, plain, terms};

#[tokio::test]
async fn the_notice_of_a_batch_is_sent_once() {
    let fixture = Fixture::new().await;
    let bulk = QueueName::bulk();
    let shared = Mail { subject: Some("News".to_owned()), ..plain() };
    let batch = fixture.enqueue_batch(&bulk, &terms(), shared, 5).await;
    fixture.store.notify_of_batch(&batch, &mailbox("Boss <boss@example.org>").into()).await.expect("noted");
    let _workers = [fixture.worker(&[]).await, fixture.worker(&[]).await];
    let notice = eventually(LIMIT, "the notice", async || {
        let all = fixture.smtp.received();
        all.into_iter().find(|mail| mail.rcpt_to == ["boss@example.org"])
    })
    .await;
    assert_eq!(notice.header("Subject").as_deref(), Some("news is done: 5 of 5 sent"));
    assert!(notice.text().contains("sent: 5") && notice.text().contains(&batch.to_string()), "{}", notice.text());
    eventually(LIMIT, "no notice is left", async || fixture.store.notices(&bulk).await.ok().filter(Vec::is_empty))
        .await;
    // A notice that is requested again is not sent again.
    fixture.store.notify_of_batch(&batch, &mailbox("boss@example.org").into()).await.expect("noted");
    assert_eq!(fixture.store.notices(&bulk).await.expect("a reply"), []);
    let later = fixture.enqueue(crate::fixture::mail_to("ann@example.org")).await;
    fixture.reaches(&later, JobState::Sent).await;
    assert_eq!(fixture.arrived().iter().filter(|to| *to == "boss@example.org").count(), 1);
}

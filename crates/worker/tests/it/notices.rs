//! Who wants to know of a batch's end is told, once.

use postroom_core::{JobState, Mail, QueueName};
use postroom_testkit::eventually;

use crate::bench::{Bench, LIMIT, mailbox, plain, terms};

#[tokio::test]
async fn a_batch_that_is_done_is_told_of_once() {
    let bench = Bench::new().await;
    let bulk = QueueName::bulk();
    let shared = Mail { subject: Some("News".to_owned()), ..plain() };
    let batch = bench.enqueue_batch(&bulk, &terms(), shared, 5).await;
    bench.store.notify_of_batch(&batch, &mailbox("Boss <boss@example.org>").into()).await.expect("noted");
    let _workers = [bench.worker(&[]).await, bench.worker(&[]).await];
    let told = eventually(LIMIT, "the notice", async || {
        let all = bench.smtp.received();
        all.into_iter().find(|mail| mail.rcpt_to == ["boss@example.org"])
    })
    .await;
    assert_eq!(told.header("Subject").as_deref(), Some("news is done: 5 of 5 sent"));
    assert!(told.text().contains("sent: 5") && told.text().contains(&batch.to_string()), "{}", told.text());
    eventually(LIMIT, "nothing is left to be told", async || {
        bench.store.notices(&bulk).await.ok().filter(Vec::is_empty)
    })
    .await;
    // Asked for again, and done again, it is told no more.
    bench.store.notify_of_batch(&batch, &mailbox("boss@example.org").into()).await.expect("noted");
    assert_eq!(bench.store.notices(&bulk).await.expect("an answer"), []);
    let later = bench.enqueue(crate::bench::mail_to("ann@example.org")).await;
    bench.reaches(&later, JobState::Sent).await;
    assert_eq!(bench.arrived().iter().filter(|to| *to == "boss@example.org").count(), 1);
}

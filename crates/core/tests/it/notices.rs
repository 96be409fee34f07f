//! Webhook calls for batches: one caller at a time, until a call succeeds.

use std::time::Duration;

use postroom_core::{BatchId, store::DueNotice};
use postroom_testkit::eventually;

use crate::fixture::Fixture;

const LIFE: Duration = Duration::from_secs(7200);

async fn done_batch(fixture: &Fixture) -> BatchId {
    let batch = fixture.create_batch().await;
    fixture
        .store
        .notify_of_batch(&batch, &"https://app.example.org/hook".parse().expect("a URL"))
        .await
        .expect("noted");
    fixture.store.seal_batch(&batch, 0, 0).await.expect("sealed");
    batch
}

async fn take(fixture: &Fixture, lease: Duration) -> Vec<DueNotice> {
    fixture.store.take_webhooks(&fixture.queue, 5, lease, LIFE).await.expect("a reply")
}

#[tokio::test]
async fn a_webhook_call_is_leased_to_one_caller_at_a_time() {
    let fixture = Fixture::new().await;
    let batch = done_batch(&fixture).await;
    assert_eq!(take(&fixture, LIFE).await, [], "the call is not started yet");
    assert_eq!(fixture.store.notices(&fixture.queue).await.expect("notices").len(), 1);
    for _ in 0..2 {
        fixture.store.add_webhook(&batch).await.expect("added");
    }
    assert_eq!(fixture.store.notices(&fixture.queue).await.expect("notices"), []);

    let first = take(&fixture, LIFE).await.remove(0);
    assert_eq!((first.notice.batch.id.clone(), first.n), (batch.clone(), 1));
    assert!(first.notice.batch.done && first.notice.batch.done_at.is_some());
    assert_eq!(take(&fixture, LIFE).await, [], "it is leased to the first caller");
    assert!(fixture.store.defer_webhook(&batch, 1, Duration::ZERO).await.expect("a reply"));

    // An expired lease gives the call to the next caller; a late report of the first has no effect.
    assert_eq!(take(&fixture, Duration::ZERO).await[0].n, 2);
    let third = eventually(LIFE, "the second lease expires", async || take(&fixture, LIFE).await.pop()).await;
    assert_eq!(third.n, 3);
    assert!(!fixture.store.defer_webhook(&batch, 2, Duration::ZERO).await.expect("a reply"));
    assert_eq!(take(&fixture, LIFE).await, []);

    fixture.store.drop_notice(&batch).await.expect("dropped");
    assert!(!fixture.store.defer_webhook(&batch, 3, Duration::ZERO).await.expect("a reply"), "the call has succeeded");
    assert_eq!(fixture.raw("EXISTS", "webhooks", &[]), "0");
}

#[tokio::test]
async fn a_webhook_call_keeps_its_batch_and_skips_a_missing_one() {
    let fixture = Fixture::new().await;
    let (batch, gone) = (done_batch(&fixture).await, done_batch(&fixture).await);
    for id in [&batch, &gone] {
        fixture.store.add_webhook(id).await.expect("added");
    }
    let record = format!("b:{batch}");
    fixture.raw("PEXPIRE", &record, &["60000"]);
    fixture.raw("UNLINK", &format!("b:{gone}"), &[]);
    assert_eq!(take(&fixture, LIFE).await.len(), 1);
    assert!(fixture.raw("PTTL", &record, &[]).parse::<u64>().expect("ms") > 7_000_000);
    assert_eq!(fixture.raw("ZCARD", "webhooks", &[]), "1");
}

//! Jobs of a newer protocol version, as in a rolling deploy.

use postroom_core::{JobState, QueueName};
use postroom_testkit::{PrivateRedis, eventually};

use crate::fixture::{Fixture, LIMIT, mail_to, plain, terms};

/// The job waits unchanged, byte for byte, and all other mail is sent.
#[tokio::test]
async fn a_newer_job_is_left_alone_and_reported() {
    let fixture = Fixture::new().await;
    let id = fixture.enqueue(mail_to("ann@example.org")).await;
    let other = fixture.enqueue(mail_to("ben@example.org")).await;
    let (key, redis) = (fixture.payload_key(&id), PrivateRedis::shared());
    let written = redis.ask(&["GET", &key]);
    let newer = format!("2 with-a-header-of-its-own {}", written.lines().nth(1).expect("a mail"));
    assert_eq!(redis.ask(&["SET", &key, &newer]), "OK");
    let worker = fixture.worker(&["--queues", "emails,bulk"]).await;
    let info = fixture.reports("an alert", |info| !info.alerts.is_empty()).await;
    assert_eq!(info.alerts[0].about, "protocol:emails");
    assert!(info.alerts[0].text.contains(id.to_string().as_str()), "{info:?}");
    fixture.reaches(&other, JobState::Sent).await;
    let batch = fixture.enqueue_batch(&QueueName::bulk(), &terms(), plain(), 50).await;
    eventually(LIMIT, "the other queue's mail", async || {
        fixture.store.batch(&batch).await.expect("a reply").filter(|batch| batch.done)
    })
    .await;
    assert_eq!(redis.ask(&["GET", &key]), newer);
    let queue = fixture.store.queue(&fixture.queue).await.expect("a queue");
    assert_eq!((queue.queued, queue.sending, queue.failed_total), (1, 0, 0));
    assert_eq!(worker.stderr().matches(id.to_string().as_str()).count(), 1, "logged once: {}", worker.stderr());
    // The job is claimed once it can be read.
    assert_eq!(redis.ask(&["SET", &key, &written]), "OK");
    fixture.reaches(&id, JobState::Sent).await;
}

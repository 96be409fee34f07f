//! Files of mails: kept once, counted, let go.

use postroom_core::{
    Attachment, Content, JobId, Mail,
    store::{NewJob, Outcome, WorkerId},
};

use crate::fixture::{Fixture, mail, terms};

fn file(byte: u8) -> Content {
    vec![byte; 50_000].into()
}

fn with(contents: &[&Content]) -> Mail {
    let attached = |content: &Content| Attachment {
        filename: "a.bin".to_owned(),
        content_type: None,
        content_id: None,
        content: content.clone(),
    };
    Mail { attachments: contents.iter().copied().map(attached).collect(), ..mail() }
}

async fn enqueue(fixture: &Fixture, id: &JobId, mail: Mail) {
    let job = NewJob { id: id.clone(), mail };
    fixture.store.enqueue(&fixture.queue, None, &terms(), &[job]).await.expect("enqueued");
}

async fn enqueue_new(fixture: &Fixture, mail: Mail) -> JobId {
    let id = JobId::new(fixture.queue.clone());
    enqueue(fixture, &id, mail).await;
    id
}

fn key(content: &Content) -> String {
    format!("a:{}", content.hash())
}

/// How many jobs need it.
fn needed_by(fixture: &Fixture, content: &Content) -> String {
    fixture.raw("HGET", &key(content), &["jobs"])
}

/// In hours, rounded up.
fn lives_for_h(fixture: &Fixture, content: &Content) -> i64 {
    let ms: i64 = fixture.raw("PTTL", &key(content), &[]).parse().expect("a number");
    assert!(ms > 0, "{ms}");
    (ms + 3_599_999) / 3_600_000
}

#[tokio::test]
async fn a_file_is_kept_once_for_all_jobs_and_let_go_after_the_last() {
    let fixture = Fixture::new().await;
    let (shared, own) = (file(1), file(2));
    let first = enqueue_new(&fixture, with(&[&shared, &own])).await;
    for _ in 0..2 {
        enqueue_new(&fixture, with(&[&shared, &shared])).await;
    }
    // Said again it counts no more.
    enqueue(&fixture, &first, with(&[&shared, &own])).await;
    assert_eq!((needed_by(&fixture, &shared), needed_by(&fixture, &own)), ("3".into(), "1".into()));
    let payload: i64 = fixture.raw("STRLEN", &first.short(), &[]).parse().expect("a number");
    assert!(payload < 1_000, "{payload}");

    let worker = WorkerId::generate();
    let jobs = fixture.claim(&worker, 3).await;
    let (_, told) = jobs[0].content.clone().expect("content");
    assert!(!told.attachments[0].content.is_at_hand() && told.attachments[0].content.size() == 50_000);
    let read = fixture.store.content(&fixture.queue, shared.hash()).await.expect("an answer");
    assert_eq!(read, Some(shared.clone()));
    for job in &jobs {
        assert!(lives_for_h(&fixture, &shared) > 24 * 30);
        fixture.begin(&worker, job).await;
        fixture.finish(&worker, job, Outcome::Sent).await;
        fixture.finish(&worker, job, Outcome::Sent).await;
    }
    assert_eq!((needed_by(&fixture, &shared), needed_by(&fixture, &own)), ("0".into(), "0".into()));
    assert_eq!((lives_for_h(&fixture, &shared), lives_for_h(&fixture, &own)), (1, 1));
    // One that comes in that time finds it.
    enqueue_new(&fixture, with(&[&own])).await;
    assert_eq!(needed_by(&fixture, &own), "1");
    assert!(lives_for_h(&fixture, &own) > 24 * 30);
}

#[tokio::test]
async fn what_may_be_sent_again_keeps_its_files() {
    let fixture = Fixture::new().await;
    let content = file(3);
    let (failing, cancelled) =
        (enqueue_new(&fixture, with(&[&content])).await, enqueue_new(&fixture, with(&[&content])).await);
    let worker = WorkerId::generate();
    let job = fixture.claim(&worker, 1).await.remove(0);
    assert_eq!(job.id, failing);
    fixture.finish(&worker, &job, Outcome::Failed).await;
    fixture.store.cancel(&cancelled, "person").await.expect("cancelled");
    assert_eq!(needed_by(&fixture, &content), "0");
    assert!(lives_for_h(&fixture, &content) > 24 * 29);
    fixture.store.retry(&failing).await.expect("queued");
    assert_eq!(needed_by(&fixture, &content), "1");
    let job = fixture.claim(&worker, 1).await.remove(0);
    fixture.begin(&worker, &job).await;
    fixture.finish(&worker, &job, Outcome::Sent).await;
    // The cancelled one may still be asked for.
    assert_eq!(needed_by(&fixture, &content), "0");
    assert!(lives_for_h(&fixture, &content) > 24 * 29);
}

#[tokio::test]
async fn what_is_small_stays_with_its_mail_and_what_is_not_at_hand_is_refused() {
    let fixture = Fixture::new().await;
    let small = Content::from(b"Hello".to_vec());
    enqueue_new(&fixture, with(&[&small])).await;
    let worker = WorkerId::generate();
    let job = fixture.claim(&worker, 1).await.remove(0);
    let (_, told) = job.content.expect("content");
    assert_eq!(told.attachments[0].content, small);
    assert_eq!(fixture.raw("EXISTS", &key(&small), &[]), "0");

    let named = serde_json::from_str(&format!("\"sha256:{}:50000\"", file(4).hash())).expect("a content");
    assert!(with(&[&named]).check().expect_err("refused").problem.contains("not at hand"));
    let job = NewJob { id: JobId::new(fixture.queue.clone()), mail: with(&[&named]) };
    let refused = fixture.store.enqueue(&fixture.queue, None, &terms(), &[job]).await.expect_err("refused");
    assert!(refused.to_string().contains("not at hand"), "{refused}");
}

#[tokio::test]
async fn a_cancelled_batch_lets_its_files_go() {
    let fixture = Fixture::new().await;
    let batch = fixture.create_batch().await;
    let content = file(5);
    let jobs: Vec<NewJob> = (0..3).map(|index| NewJob { id: batch.job(index), mail: with(&[&content]) }).collect();
    fixture.store.enqueue(&fixture.queue, Some(&batch), &terms(), &jobs).await.expect("enqueued");
    assert_eq!(needed_by(&fixture, &content), "3");
    fixture.store.cancel_batch(&batch).await.expect("cancelled");
    while fixture.store.prune(&fixture.queue).await.expect("pruned") {}
    assert_eq!((needed_by(&fixture, &content), lives_for_h(&fixture, &content)), ("0".into(), 1));
}

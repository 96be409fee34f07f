//! Files and large bodies of mails: stored once, counted, freed.

use std::time::Duration;

use postroom_core::{
    Attachment, Body, Content, ContentHash, JobId, Mail,
    store::{KnownJob, KnownState, NewJob, Outcome, RestateReply, WorkerId},
};
use postroom_testkit::{FakeClock, PrivateRedis, eventually};

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

fn key(content: ContentHash) -> String {
    format!("a:{content}")
}

/// Number of jobs that need the content.
fn needed_by(fixture: &Fixture, content: &Content) -> String {
    fixture.raw("HGET", &key(content.hash()), &["jobs"])
}

/// Remaining lifetime in hours, rounded up.
fn lifetime_hours(fixture: &Fixture, content: &Content) -> i64 {
    let ms: i64 = fixture.raw("PTTL", &key(content.hash()), &[]).parse().expect("a number");
    assert!(ms > 0, "{ms}");
    (ms + 3_599_999) / 3_600_000
}

#[tokio::test]
async fn a_file_is_stored_once_for_all_jobs_and_freed_after_the_last() {
    let fixture = Fixture::new().await;
    let (shared, own) = (file(1), file(2));
    let first = enqueue_new(&fixture, with(&[&shared, &own])).await;
    for _ in 0..2 {
        enqueue_new(&fixture, with(&[&shared, &shared])).await;
    }
    // A repeated enqueue is not counted.
    enqueue(&fixture, &first, with(&[&shared, &own])).await;
    assert_eq!((needed_by(&fixture, &shared), needed_by(&fixture, &own)), ("3".into(), "1".into()));
    let payload: i64 = fixture.raw("STRLEN", &first.short(), &[]).parse().expect("a number");
    assert!(payload < 1_000, "{payload}");

    let worker = WorkerId::generate();
    let jobs = fixture.claim(&worker, 3).await;
    let (_, stored) = jobs[0].content.clone().expect("content");
    assert!(!stored.attachments[0].content.is_inline() && stored.attachments[0].content.size() == 50_000);
    let read = fixture.store.content(&fixture.queue, shared.hash()).await.expect("a reply");
    assert_eq!(read, Some(shared.clone()));
    for job in &jobs {
        assert!(lifetime_hours(&fixture, &shared) > 24 * 30);
        fixture.begin(&worker, job).await;
        fixture.finish(&worker, job, Outcome::Sent).await;
        fixture.finish(&worker, job, Outcome::Sent).await;
    }
    assert_eq!((needed_by(&fixture, &shared), needed_by(&fixture, &own)), ("0".into(), "0".into()));
    assert_eq!((lifetime_hours(&fixture, &shared), lifetime_hours(&fixture, &own)), (1, 1));
    // A mail enqueued in that time finds the content.
    enqueue_new(&fixture, with(&[&own])).await;
    assert_eq!(needed_by(&fixture, &own), "1");
    assert!(lifetime_hours(&fixture, &own) > 24 * 30);
}

#[tokio::test]
async fn a_job_that_can_be_retried_keeps_its_files() {
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
    assert!(lifetime_hours(&fixture, &content) > 24 * 29);
    fixture.store.retry(&failing).await.expect("queued");
    assert_eq!(needed_by(&fixture, &content), "1");
    let job = fixture.claim(&worker, 1).await.remove(0);
    fixture.begin(&worker, &job).await;
    fixture.finish(&worker, &job, Outcome::Sent).await;
    // The cancelled job can still be retried.
    assert_eq!(needed_by(&fixture, &content), "0");
    assert!(lifetime_hours(&fixture, &content) > 24 * 29);
}

#[tokio::test]
async fn a_small_file_stays_in_its_mail_and_a_missing_one_is_refused() {
    let fixture = Fixture::new().await;
    let small = Content::from(b"Hello".to_vec());
    enqueue_new(&fixture, with(&[&small])).await;
    let worker = WorkerId::generate();
    let job = fixture.claim(&worker, 1).await.remove(0);
    let (_, stored) = job.content.expect("content");
    assert_eq!(stored.attachments[0].content, small);
    assert_eq!(fixture.raw("EXISTS", &key(small.hash()), &[]), "0");

    let named = serde_json::from_str(&format!("\"sha256:{}:50000\"", file(4).hash())).expect("a content");
    assert!(with(&[&named]).check().expect_err("refused").problem.contains("without its content"));
    let job = NewJob { id: JobId::new(fixture.queue.clone()), mail: with(&[&named]) };
    let refused = fixture.store.enqueue(&fixture.queue, None, &terms(), &[job]).await.expect_err("refused");
    assert!(refused.to_string().contains("not in memory"), "{refused}");

    let named = format!("{{\"content\":\"sha256:{}:50000\"}}", file(4).hash());
    let named = Mail { html: Some(serde_json::from_str(&named).expect("a body")), ..mail() };
    let refused = named.check().expect_err("refused");
    assert_eq!((refused.field.as_str(), refused.problem.contains("without its content")), ("html", true));
}

#[tokio::test]
async fn a_cancelled_batch_frees_its_files() {
    let fixture = Fixture::new().await;
    let batch = fixture.create_batch().await;
    let content = file(5);
    let jobs: Vec<NewJob> = (0..3).map(|index| NewJob { id: batch.job(index), mail: with(&[&content]) }).collect();
    fixture.store.enqueue(&fixture.queue, Some(&batch), &terms(), &jobs).await.expect("enqueued");
    assert_eq!(needed_by(&fixture, &content), "3");
    fixture.store.cancel_batch(&batch).await.expect("cancelled");
    while fixture.store.prune(&fixture.queue).await.expect("pruned") {}
    assert_eq!((needed_by(&fixture, &content), lifetime_hours(&fixture, &content)), ("0".into(), 1));
}

fn html(bytes: usize) -> Body {
    format!("<p>{}</p>", "ż".repeat((bytes - 7) / 2)).into()
}

/// Returns the mail as a worker has it before rendering.
async fn filled(fixture: &Fixture, mut mail: Mail) -> (Mail, Option<String>) {
    let gone = mail.fill(|hash| fixture.store.content(&fixture.queue, hash)).await.expect("a reply");
    (mail, gone)
}

#[tokio::test]
async fn a_large_body_is_stored_separately_and_filled_in() {
    let fixture = Fixture::new().await;
    let (small, large) = (html(16 << 10), html((16 << 10) + 2));
    let text = Body::from("x".repeat(20_000));
    let original = Mail { html: Some(large.clone()), text: Some(text.clone()), ..with(&[&file(6)]) };
    let id = enqueue_new(&fixture, original.clone()).await;
    enqueue_new(&fixture, Mail { html: Some(small.clone()), ..mail() }).await;
    assert_eq!(fixture.raw("EXISTS", &key(small.hash()), &[]), "0", "a small body stays in its mail");
    let payload: i64 = fixture.raw("STRLEN", &id.short(), &[]).parse().expect("a number");
    assert!(payload < 1_000, "{payload}");
    for hash in [large.hash(), text.hash(), file(6).hash()] {
        assert_eq!(fixture.raw("HGET", &key(hash), &["jobs"]), "1");
    }
    // A reader of the job sees that a content is stored separately, and can read it.
    let shown = fixture.store.job(&id).await.expect("a reply").expect("a job").mail.expect("a mail");
    assert!(!shown.html.as_ref().is_some_and(Body::is_inline) && shown.content_bytes() == original.content_bytes());
    assert_eq!(filled(&fixture, shown).await, (original.clone(), None));

    let worker = WorkerId::generate();
    let claimed = fixture.claim(&worker, 2).await;
    let mails: Vec<Mail> = claimed.iter().map(|job| job.content.clone().expect("content").1).collect();
    assert_eq!(filled(&fixture, mails[0].clone()).await, (original, None));
    assert_eq!(mails[1].html, Some(small));
    fixture.raw("UNLINK", &key(large.hash()), &[]);
    assert_eq!(filled(&fixture, mails[0].clone()).await.1.as_deref(), Some("html"));
}

#[tokio::test]
async fn a_retry_and_a_restored_job_need_the_body_again() {
    let fixture = Fixture::new().await;
    let body = Body::from("y".repeat(30_000));
    let id = enqueue_new(&fixture, Mail { text: Some(body.clone()), ..mail() }).await;
    let worker = WorkerId::generate();
    let job = fixture.claim(&worker, 1).await.remove(0);
    fixture.finish(&worker, &job, Outcome::Failed).await;
    let needed_by = || fixture.raw("HGET", &key(body.hash()), &["jobs"]);
    assert_eq!(needed_by(), "0");
    fixture.store.retry(&id).await.expect("queued");
    assert_eq!(needed_by(), "1");

    // Redis loses the job, and the worker that holds it restores it.
    let job = fixture.claim(&worker, 1).await.remove(0);
    for gone in [id.short(), format!("h:{}", id.short()), key(body.hash())] {
        fixture.raw("UNLINK", &gone, &[]);
    }
    let held = KnownJob { id: &id, fence: job.fence, state: KnownState::Held, begun: None, payload: &job.payload };
    let replies = fixture.store.restate(&fixture.queue, &worker, &"run-2".into(), &[held]).await.expect("a reply");
    assert_eq!(replies, [RestateReply::Held]);
    assert_eq!(
        (needed_by(), fixture.raw("HGET", &format!("h:{}", id.short()), &["files"])),
        ("1".into(), body.hash().to_string())
    );
    // The producer repeats the call and sends the missing content.
    enqueue(&fixture, &id, Mail { text: Some(body.clone()), ..mail() }).await;
    assert_eq!((needed_by(), fixture.raw("HSTRLEN", &key(body.hash()), &["content"])), ("1".into(), "30000".into()));
}

/// A thousand mails with one body of 200 KB take 200 KB in Redis until the last of them is
/// finished.
#[tokio::test]
async fn a_large_body_takes_memory_once() {
    const JOBS: u64 = 1_000;
    const BODY: usize = 200_000;
    let clock = FakeClock::new("+0s");
    let redis = PrivateRedis::builder().clock(&clock).start().await;
    let fixture = Fixture::on(&redis).await;
    let used = || {
        let info = redis.ask(&["INFO", "memory"]);
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a line");
        line.trim().parse::<usize>().expect("a number")
    };
    let body = html(BODY);
    let key = format!("{{{}:{}}}:{}", fixture.prefix, fixture.queue, key(body.hash()));
    let needed_by = || redis.ask(&["HGET", &key, "jobs"]);
    let batch = fixture.create_batch().await;
    let before = used();
    for start in (0..JOBS).step_by(100) {
        // Each mail is parsed separately, as from a file.
        let new = |index| NewJob { id: batch.job(index), mail: Mail { html: Some(html(BODY)), ..mail() } };
        let jobs: Vec<NewJob> = (start..start + 100).map(new).collect();
        fixture.store.enqueue(&fixture.queue, Some(&batch), &terms(), &jobs).await.expect("enqueued");
    }
    let cost = used() - before;
    assert!((BODY..BODY + 1_500 * 1_000).contains(&cost), "{cost} bytes");
    assert_eq!(needed_by(), JOBS.to_string());

    let worker = WorkerId::generate();
    for job in fixture.claim(&worker, 100).await {
        fixture.begin(&worker, &job).await;
        fixture.finish(&worker, &job, Outcome::Sent).await;
    }
    assert_eq!(needed_by(), (JOBS - 100).to_string());
    fixture.store.cancel_batch(&batch).await.expect("cancelled");
    while fixture.store.prune(&fixture.queue).await.expect("pruned") {}
    assert_eq!(needed_by(), "0");
    clock.set("+11m");
    eventually(Duration::from_secs(30), "the content expires", async || {
        (redis.ask(&["EXISTS", &key]) == "0").then_some(())
    })
    .await;
}

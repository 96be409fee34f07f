//! Files and large bodies of mails: kept once, counted, let go.

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

/// How many jobs need it.
fn needed_by(fixture: &Fixture, content: &Content) -> String {
    fixture.raw("HGET", &key(content.hash()), &["jobs"])
}

/// In hours, rounded up.
fn lives_for_h(fixture: &Fixture, content: &Content) -> i64 {
    let ms: i64 = fixture.raw("PTTL", &key(content.hash()), &[]).parse().expect("a number");
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
    assert_eq!(fixture.raw("EXISTS", &key(small.hash()), &[]), "0");

    let named = serde_json::from_str(&format!("\"sha256:{}:50000\"", file(4).hash())).expect("a content");
    assert!(with(&[&named]).check().expect_err("refused").problem.contains("not at hand"));
    let job = NewJob { id: JobId::new(fixture.queue.clone()), mail: with(&[&named]) };
    let refused = fixture.store.enqueue(&fixture.queue, None, &terms(), &[job]).await.expect_err("refused");
    assert!(refused.to_string().contains("not in memory"), "{refused}");

    let named = format!("{{\"content\":\"sha256:{}:50000\"}}", file(4).hash());
    let named = Mail { html: Some(serde_json::from_str(&named).expect("a body")), ..mail() };
    let refused = named.check().expect_err("refused");
    assert_eq!((refused.field.as_str(), refused.problem.contains("not at hand")), ("html", true));
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

fn html(bytes: usize) -> Body {
    format!("<p>{}</p>", "ż".repeat((bytes - 7) / 2)).into()
}

/// The mail as a worker has it before it renders it.
async fn filled(fixture: &Fixture, mut mail: Mail) -> (Mail, Option<String>) {
    let gone = mail.fill(|hash| fixture.store.content(&fixture.queue, hash)).await.expect("an answer");
    (mail, gone)
}

#[tokio::test]
async fn a_large_body_is_kept_apart_and_filled_in() {
    let fixture = Fixture::new().await;
    let (small, large) = (html(16 << 10), html((16 << 10) + 2));
    let text = Body::from("x".repeat(20_000));
    let whole = Mail { html: Some(large.clone()), text: Some(text.clone()), ..with(&[&file(6)]) };
    let id = enqueue_new(&fixture, whole.clone()).await;
    enqueue_new(&fixture, Mail { html: Some(small.clone()), ..mail() }).await;
    assert_eq!(fixture.raw("EXISTS", &key(small.hash()), &[]), "0", "it stays with its mail");
    let payload: i64 = fixture.raw("STRLEN", &id.short(), &[]).parse().expect("a number");
    assert!(payload < 1_000, "{payload}");
    for hash in [large.hash(), text.hash(), file(6).hash()] {
        assert_eq!(fixture.raw("HGET", &key(hash), &["jobs"]), "1");
    }
    // Whoever reads the job sees that something is elsewhere, and gets it.
    let shown = fixture.store.job(&id).await.expect("an answer").expect("a job").mail.expect("a mail");
    assert!(!shown.html.as_ref().is_some_and(Body::is_at_hand) && shown.content_bytes() == whole.content_bytes());
    assert_eq!(filled(&fixture, shown).await, (whole.clone(), None));

    let worker = WorkerId::generate();
    let claimed = fixture.claim(&worker, 2).await;
    let mails: Vec<Mail> = claimed.iter().map(|job| job.content.clone().expect("content").1).collect();
    assert_eq!(filled(&fixture, mails[0].clone()).await, (whole, None));
    assert_eq!(mails[1].html, Some(small));
    fixture.raw("UNLINK", &key(large.hash()), &[]);
    assert_eq!(filled(&fixture, mails[0].clone()).await.1.as_deref(), Some("html"));
}

#[tokio::test]
async fn a_retry_needs_its_body_again_and_a_restored_job_too() {
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

    // Redis loses the job, and a worker that holds it gives it back.
    let job = fixture.claim(&worker, 1).await.remove(0);
    for gone in [id.short(), format!("h:{}", id.short()), key(body.hash())] {
        fixture.raw("UNLINK", &gone, &[]);
    }
    let held = KnownJob { id: &id, fence: job.fence, state: KnownState::Held, begun: None, payload: &job.payload };
    let said = fixture.store.restate(&fixture.queue, &worker, &"run-2".into(), &[held]).await.expect("an answer");
    assert_eq!(said, [RestateReply::Held]);
    assert_eq!(
        (needed_by(), fixture.raw("HGET", &format!("h:{}", id.short()), &["files"])),
        ("1".into(), body.hash().to_string())
    );
    // Whoever put it in says it again, and brings what is missing.
    enqueue(&fixture, &id, Mail { text: Some(body.clone()), ..mail() }).await;
    assert_eq!((needed_by(), fixture.raw("HSTRLEN", &key(body.hash()), &["content"])), ("1".into(), "30000".into()));
}

/// A thousand mails with one body of 200 KB: 200 KB in Redis, until the last of them is over.
#[tokio::test]
async fn a_large_body_costs_redis_its_size_once() {
    const JOBS: u64 = 1_000;
    const BODY: usize = 200_000;
    let clock = FakeClock::new("+0s");
    let redis = PrivateRedis::builder().clock(&clock).start().await;
    let fixture = Fixture::on(&redis).await;
    let used = || {
        let told = redis.ask(&["INFO", "memory"]);
        let line = told.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a line");
        line.trim().parse::<usize>().expect("a number")
    };
    let body = html(BODY);
    let key = format!("{{{}:{}}}:{}", fixture.prefix, fixture.queue, key(body.hash()));
    let needed_by = || redis.ask(&["HGET", &key, "jobs"]);
    let batch = fixture.create_batch().await;
    let before = used();
    for start in (0..JOBS).step_by(100) {
        // Each mail read anew, as from a file.
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
    eventually(Duration::from_secs(30), "it is let go", async || (redis.ask(&["EXISTS", &key]) == "0").then_some(()))
        .await;
}

//! Paced and paused batches: their jobs wait in their own line and block no other job.

use std::time::{Duration, Instant};

use postroom_core::{
    BatchId, Mail, Pace, Priority, Rate,
    store::{Claimed, JobFilter, NewBatch, Outcome, WorkerId},
};
use postroom_testkit::eventually;

use crate::fixture::{Fixture, terms};

const LIMIT: Duration = Duration::from_secs(30);

async fn batch(fixture: &Fixture, pace: Option<Pace>, jobs: u64) -> BatchId {
    let id = BatchId::new(fixture.queue.clone());
    let retention = terms().policy.retention;
    let batch = NewBatch { id: id.clone(), name: "news".to_owned(), retention, shared: Mail::default(), pace };
    fixture.store.create_batch(&batch).await.expect("created");
    for index in 0..jobs {
        fixture.enqueue_as(&id.job(index), Some(&id), &terms()).await;
    }
    id
}

async fn next(fixture: &Fixture, worker: &WorkerId) -> (Claimed, Instant) {
    eventually(LIMIT, "the next mail", async || fixture.claim(worker, 10).await.pop().map(|job| (job, Instant::now())))
        .await
}

fn rate(text: &str) -> Pace {
    Pace::Rate(text.parse::<Rate>().expect("a rate"))
}

#[tokio::test]
async fn a_rate_applies_over_all_workers() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    batch(&fixture, Some(rate("5/s")), 6).await;
    let (_, first) = next(&fixture, &ann).await;
    let mut last = first;
    for turn in 1..=5_u32 {
        let (_, at) = next(&fixture, if turn % 2 == 0 { &ann } else { &ben }).await;
        // A mail may be late by the delay of this test. It is never early, except for the slack in
        // catching up.
        assert!(at - first >= Duration::from_millis(200) * turn - Duration::from_millis(60), "{turn}: {:?}", at - last);
        last = at;
    }
}

#[tokio::test]
async fn a_delay_counts_from_begin_with_one_mail_at_a_time() {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    batch(&fixture, Some(Pace::Delay(Duration::from_millis(300))), 3).await;
    let (job, claimed) = next(&fixture, &worker).await;
    eventually(LIMIT, "the end of the delay", async || (claimed.elapsed() > Duration::from_millis(400)).then_some(()))
        .await;
    assert!(fixture.claim(&worker, 10).await.is_empty(), "one mail is under way");
    fixture.begin(&worker, &job).await;
    let begun = Instant::now();
    fixture.finish(&worker, &job, Outcome::Sent).await;
    assert!(fixture.claim(&worker, 10).await.is_empty(), "the delay counts from the begin");
    let (_, at) = next(&fixture, &worker).await;
    assert!(at - begun >= Duration::from_millis(299), "{:?}", at - begun);
}

#[tokio::test]
async fn a_line_blocks_no_other_job() {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    batch(&fixture, Some(rate("1/h")), 3).await;
    assert_eq!(fixture.claim(&worker, 10).await.len(), 1);
    let mut low = terms();
    low.priority = Priority::try_from(9).expect("a priority");
    let other = fixture.enqueue(&low).await;
    let got = fixture.claim(&worker, 10).await;
    assert_eq!(got.iter().map(|job| &job.id).collect::<Vec<_>>(), [&other]);
}

#[tokio::test]
async fn a_sweep_returns_when_the_line_is_due() {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    batch(&fixture, Some(rate("1/m")), 2).await;
    assert_eq!(fixture.claim(&worker, 10).await.len(), 1);
    let swept = fixture.sweep(&worker).await;
    let wait = swept.next_due_ms.expect("a time") - swept.now_ms;
    assert!((50_000..=60_000).contains(&wait), "{wait}");
    assert!(!swept.ready);
}

#[tokio::test]
async fn a_pace_changes_at_run_time() {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    let id = batch(&fixture, Some(rate("1/h")), 4).await;
    assert_eq!(fixture.claim(&worker, 10).await.len(), 1);
    assert_eq!(fixture.claim(&worker, 10).await.len(), 0);
    fixture.store.pace_batch(&id, None).await.expect("the pace is removed");
    assert_eq!(fixture.claim(&worker, 10).await.len(), 3);
}

#[tokio::test]
async fn jobs_in_a_line_are_listed() {
    let fixture = Fixture::new().await;
    let id = batch(&fixture, None, 3).await;
    fixture.store.pause_batch(&id).await.expect("paused");
    assert!(fixture.claim(&WorkerId::generate(), 10).await.is_empty());
    let filter = JobFilter { queues: vec![fixture.queue.clone()], ..JobFilter::default() };
    let page = fixture.store.find_jobs(&filter, None, 10).await.expect("a page");
    assert_eq!(page.jobs.len(), 3);
    assert!(fixture.store.batch(&id).await.expect("a reply").expect("a batch").paused);
}

#[tokio::test]
async fn a_cancelled_batch_leaves_no_line() {
    let fixture = Fixture::new().await;
    let id = batch(&fixture, Some(rate("1/h")), 3).await;
    fixture.store.cancel_batch(&id).await.expect("cancelled");
    assert_eq!(fixture.raw("EXISTS", &format!("line:{id}:5"), &[]), "0");
    assert_eq!(fixture.raw("ZCARD", "lines", &[]), "0");
}

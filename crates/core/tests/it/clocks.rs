//! Jumps of Redis's clock.

use std::time::{Duration, Instant};

use postroom_core::{
    JobState, OnUnknown,
    store::{BeginReply, Claimed, FinishReply, JobTerms, Outcome, WorkerId},
};
use postroom_testkit::{FakeClock, PrivateRedis, eventually};

use crate::fixture::{Fixture, terms};

const LIMIT: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(1);

fn short_lease() -> JobTerms {
    let mut terms = terms();
    terms.policy.lease = LEASE;
    terms.policy.on_unknown = OnUnknown::Hold;
    terms
}

/// Starts a worker that has begun a job, on a Redis whose clock can jump.
async fn begun(clock: &FakeClock) -> (PrivateRedis, Fixture, WorkerId, Claimed) {
    let redis = PrivateRedis::builder().clock(clock).start().await;
    let fixture = Fixture::on(&redis).await;
    fixture.enqueue(&short_lease()).await;
    let worker = WorkerId::generate();
    let job = fixture.claim(&worker, 1).await.remove(0);
    assert_eq!(fixture.begin(&worker, &job).await, BeginReply::Begun);
    (redis, fixture, worker, job)
}

async fn check_jump(from: &str, to: &str) {
    let clock = FakeClock::new(from);
    let (_redis, fixture, worker, job) = begun(&clock).await;
    let other = WorkerId::generate();
    let before = fixture.sweep(&other).await.now_ms;
    clock.set(to);
    let started = Instant::now();
    // A worker that renews keeps its lease, however often others sweep.
    eventually(LIMIT, "two leases after the jump", async || {
        let items = [(job.id.clone(), job.fence)];
        let lost = fixture.store.renew(&fixture.queue, &worker, &items).await.expect("a reply");
        assert!(lost.is_empty(), "the lease is lost");
        let swept = fixture.sweep(&other).await;
        assert_eq!((swept.rescued, swept.in_doubt), (0, 0));
        let has_jumped = (swept.now_ms - before).abs() > 3_000_000;
        (has_jumped && started.elapsed() > 2 * LEASE).then_some(())
    })
    .await;
    // A worker that does not renew loses it, a lease or two later.
    eventually(LIMIT, "the rescue", async || (fixture.sweep(&other).await.in_doubt == 1).then_some(())).await;
    assert_eq!(fixture.state(&job.id).await, JobState::Unknown);
    assert_eq!(fixture.finish(&worker, &job, Outcome::Sent).await, FinishReply::Late);
}

#[tokio::test]
async fn an_hour_forward_rescues_nothing_by_mistake() {
    check_jump("+0", "+1h").await;
}

#[tokio::test]
async fn an_hour_back_rescues_only_lost_jobs() {
    check_jump("+2h", "+1h").await;
}

#[tokio::test]
async fn after_a_jump_back_a_lost_worker_is_rescued_within_a_lease() {
    let clock = FakeClock::new("+2h");
    let (_redis, fixture, _, job) = begun(&clock).await;
    clock.set("+1h");
    let other = WorkerId::generate();
    eventually(LIMIT, "the rescue", async || (fixture.sweep(&other).await.in_doubt == 1).then_some(())).await;
    assert_eq!(fixture.state(&job.id).await, JobState::Unknown);
}

//! Single steps after a restart of Redis, with workers that are late or lost.

use std::time::Duration;

use postroom_core::{
    JobId, JobState,
    store::{
        BeginReply, Claim, ClaimId, ClaimReply, Defer, DeferReply, Expiry, FinishReply, KnownJob, KnownState, NewJob,
        Outcome, RestateReply, RunId, Settled, WorkerId,
    },
};
use postroom_testkit::eventually;

use super::{held_terms, lose_writes, save};
use crate::fixture::{Fixture, mail, terms};

async fn claim(fixture: &Fixture, worker: &WorkerId) -> ClaimReply {
    let id = ClaimId::generate();
    let claim = Claim::new(&fixture.queue, worker, &id, 1);
    fixture.store.claim(&claim).await.expect("a reply")
}

#[tokio::test]
async fn claims_wait_for_workers_that_were_alive() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let resync = async |worker: &WorkerId, run: &RunId| {
        fixture.store.complete_restate(&fixture.queue, worker, run).await.expect("resynchronised")
    };
    assert_eq!(
        (resync(&ann, &"run-1".into()).await, resync(&ben, &"run-1".into()).await),
        (Duration::ZERO, Duration::ZERO)
    );
    fixture.sweep(&ann).await;
    fixture.sweep(&ben).await;
    fixture.enqueue(&terms()).await;
    assert!(resync(&ann, &"run-2".into()).await > Duration::ZERO);
    assert!(matches!(claim(&fixture, &ann).await, ClaimReply::Wait(_)), "Ben may hold the job");
    assert_eq!(resync(&ben, &"run-2".into()).await, Duration::ZERO);
    assert!(matches!(claim(&fixture, &ann).await, ClaimReply::Jobs { jobs, .. } if jobs.len() == 1));
}

#[tokio::test]
async fn claims_do_not_wait_forever_for_a_dead_worker() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    for worker in [&ann, &ben] {
        fixture.store.complete_restate(&fixture.queue, worker, &"run-1".into()).await.expect("resynchronised");
        fixture.sweep(worker).await;
    }
    fixture.enqueue(&terms()).await;
    fixture.store.complete_restate(&fixture.queue, &ann, &"run-2".into()).await.expect("resynchronised");
    eventually(Duration::from_secs(20), "a claim without Ben", async || {
        matches!(claim(&fixture, &ann).await, ClaimReply::Jobs { jobs, .. } if jobs.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn claims_do_not_wait_for_a_worker_that_was_dead_before() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    for worker in [&ann, &ben] {
        fixture.store.complete_restate(&fixture.queue, worker, &"run-1".into()).await.expect("resynchronised");
    }
    let now_ms = fixture.sweep(&ann).await.now_ms;
    fixture.raw("HSET", "workers", &[ben.as_str(), &format!("{} run-1", now_ms - 60_000)]);
    fixture.enqueue(&terms()).await;
    assert_eq!(
        fixture.store.complete_restate(&fixture.queue, &ann, &"run-2".into()).await.expect("resynchronised"),
        Duration::ZERO
    );
    assert!(matches!(claim(&fixture, &ann).await, ClaimReply::Jobs { jobs, .. } if jobs.len() == 1));
}

#[tokio::test]
async fn nothing_is_rescued_within_a_lease_of_a_restart() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    fixture.store.complete_restate(&fixture.queue, &ann, &"run-1".into()).await.expect("resynchronised");
    let id = fixture.enqueue(&terms()).await;
    assert_eq!(fixture.claim(&ann, 1).await.len(), 1);
    fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
    fixture.store.complete_restate(&fixture.queue, &ben, &"run-2".into()).await.expect("resynchronised");
    assert_eq!(fixture.sweep(&ben).await.rescued, 0);
    assert_eq!(fixture.state(&id).await, JobState::Sending);
}

#[tokio::test]
async fn a_stale_holder_gets_lost() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let id = fixture.enqueue(&terms()).await;
    let stale = fixture.claim(&ann, 1).await.remove(0);
    fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
    assert_eq!(fixture.sweep(&ben).await.rescued, 1);
    let again = fixture.claim(&ben, 1).await.remove(0);
    assert_eq!(fixture.begin(&ben, &again).await, BeginReply::Begun);
    let known = KnownJob { id: &id, fence: stale.fence, state: KnownState::Held, begun: None, payload: &stale.payload };
    let replies = fixture.store.restate(&fixture.queue, &ann, &"run-2".into(), &[known]).await.expect("a reply");
    assert_eq!(replies, [RestateReply::Lost]);
    assert_eq!(fixture.begin(&ann, &stale).await, BeginReply::Lost);
    assert_eq!(fixture.finish(&ann, &stale, Outcome::Sent).await, FinishReply::Twice);
    assert_eq!(fixture.finish(&ben, &again, Outcome::Sent).await, FinishReply::Finished);
}

/// Redis lost Ann's two claims, her resync was late, and Ben has claimed the job since: her fence
/// is higher, but void.
#[tokio::test]
async fn a_worker_that_claimed_since_the_restart_keeps_the_job() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    fixture.store.complete_restate(&fixture.queue, &ben, &"run-1".into()).await.expect("resynchronised");
    let id = fixture.enqueue(&terms()).await;
    save(&fixture);
    let first = fixture.claim(&ann, 1).await.remove(0);
    let back = Defer { id: id.clone(), fence: first.fence, delay: Duration::ZERO, left: Settled::default() };
    fixture.store.defer(&fixture.queue, &ann, &[back]).await.expect("deferred");
    let second = fixture.claim(&ann, 1).await.remove(0);
    lose_writes(&fixture);
    fixture.store.complete_restate(&fixture.queue, &ben, &"run-2".into()).await.expect("resynchronised");
    let bens = fixture.claim(&ben, 1).await.remove(0);
    assert_eq!(fixture.begin(&ben, &bens).await, BeginReply::Begun);
    let known =
        KnownJob { id: &id, fence: second.fence, state: KnownState::Held, begun: None, payload: &second.payload };
    let replies = fixture.store.restate(&fixture.queue, &ann, &"run-2".into(), &[known]).await.expect("a reply");
    assert_eq!(replies, [RestateReply::Lost]);
    let back = Defer { id: id.clone(), fence: second.fence, delay: Duration::ZERO, left: Settled::default() };
    let replies = fixture.store.defer(&fixture.queue, &ann, &[back]).await.expect("a reply");
    assert_eq!(replies, [DeferReply::Lost]);
    assert_eq!(fixture.finish(&ann, &second, Outcome::Sent).await, FinishReply::Twice);
    assert_eq!(fixture.finish(&ben, &bens, Outcome::Sent).await, FinishReply::Finished);
}

/// A worker keeps only the header of a sent job. If it dies before its `finish`, no other worker
/// may send the job.
#[tokio::test]
async fn a_lost_sent_job_is_in_doubt_until_its_finish() {
    let fixture = Fixture::new().await;
    let ann = WorkerId::generate();
    save(&fixture);
    let id = fixture.enqueue(&terms()).await;
    let job = fixture.claim(&ann, 1).await.remove(0);
    lose_writes(&fixture);
    let header = format!("{}\n{{}}", job.payload.lines().next().expect("a header"));
    let known = KnownJob { id: &id, fence: job.fence, state: KnownState::Sent, begun: None, payload: &header };
    let replies = fixture.store.restate(&fixture.queue, &ann, &"run-2".into(), &[known]).await.expect("a reply");
    assert_eq!(replies, [RestateReply::Restored]);
    assert!(fixture.claim(&ann, 1).await.is_empty(), "no worker claims it");
    assert_eq!(fixture.state(&id).await, JobState::Unknown);
    assert_eq!(fixture.finish(&ann, &job, Outcome::Sent).await, FinishReply::Finished);
    assert_eq!(fixture.state(&id).await, JobState::Sent);
}

#[tokio::test]
async fn a_deferred_job_expires_on_time() {
    let fixture = Fixture::new().await;
    let ann = WorkerId::generate();
    let mut terms = terms();
    terms.expires = Some(Expiry::In(Duration::from_millis(300)));
    let id = fixture.enqueue(&terms).await;
    let job = fixture.claim(&ann, 1).await.remove(0);
    fixture.raw("ZREM", "expiring", &[&id.to_string()]);
    let later = Defer { id: id.clone(), fence: job.fence, delay: Duration::from_secs(60), left: Settled::default() };
    fixture.store.defer(&fixture.queue, &ann, &[later]).await.expect("deferred");
    eventually(Duration::from_secs(20), "the expiry", async || (fixture.sweep(&ann).await.expired == 1).then_some(()))
        .await;
    assert_eq!(fixture.state(&id).await, JobState::Cancelled);
}

/// Redis lost Ann's claim, and a person cancelled the mail before her resync.
#[tokio::test]
async fn a_job_cancelled_since_is_not_leased_again() {
    let fixture = Fixture::new().await;
    let ann = WorkerId::generate();
    let id = fixture.enqueue(&terms()).await;
    save(&fixture);
    let job = fixture.claim(&ann, 1).await.remove(0);
    lose_writes(&fixture);
    fixture.store.cancel(&id, "person").await.expect("cancelled");
    let known = KnownJob { id: &id, fence: job.fence, state: KnownState::Held, begun: None, payload: &job.payload };
    let replies = fixture.store.restate(&fixture.queue, &ann, &"run-2".into(), &[known]).await.expect("a reply");
    assert_eq!(replies, [RestateReply::Lost]);
    assert_eq!(fixture.begin(&ann, &job).await, BeginReply::Ended);
    assert_eq!(fixture.state(&id).await, JobState::Cancelled);
}

/// Redis lost Ann's claim, her resync was late, and Ben got the same fence.
#[tokio::test]
async fn two_holders_of_one_fence_are_distinguished() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    fixture.enqueue(&terms()).await;
    save(&fixture);
    let first = fixture.claim(&ann, 1).await.remove(0);
    assert_eq!(fixture.begin(&ann, &first).await, BeginReply::Begun);
    lose_writes(&fixture);
    let second = fixture.claim(&ben, 1).await.remove(0);
    assert_eq!(fixture.begin(&ben, &second).await, BeginReply::Begun);
    assert_eq!(first.fence, second.fence);
    assert_eq!(fixture.finish(&ann, &first, Outcome::Failed).await, FinishReply::Lost);
    assert_eq!(fixture.finish(&ann, &first, Outcome::Sent).await, FinishReply::Twice);
    assert_eq!(fixture.finish(&ben, &second, Outcome::Sent).await, FinishReply::Finished);
}

#[tokio::test]
async fn a_late_acceptance_prevents_a_second_send() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let id = fixture.enqueue(&terms()).await;
    let first = fixture.claim(&ann, 1).await.remove(0);
    fixture.begin(&ann, &first).await;
    fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
    assert_eq!(fixture.sweep(&ben).await.in_doubt, 1);
    // The policy of emails: resend.
    let second = fixture.claim(&ben, 1).await.remove(0);
    assert_eq!(fixture.finish(&ann, &first, Outcome::Sent).await, FinishReply::Late);
    assert_eq!(fixture.begin(&ben, &second).await, BeginReply::Lost, "it has been sent");
    assert_eq!(fixture.state(&id).await, JobState::Sent);
}

#[tokio::test]
async fn a_job_in_doubt_is_queued_again_when_its_holder_defers_it() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let id = fixture.enqueue(&held_terms()).await;
    let claimed = fixture.claim(&ann, 1).await.remove(0);
    fixture.begin(&ann, &claimed).await;
    fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
    assert_eq!(fixture.sweep(&ben).await.in_doubt, 1);
    assert_eq!(fixture.state(&id).await, JobState::Unknown);
    let item = Defer { id: id.clone(), fence: claimed.fence, delay: Duration::ZERO, left: Settled::default() };
    fixture.store.defer(&fixture.queue, &ann, &[item]).await.expect("a reply");
    assert_eq!(fixture.state(&id).await, JobState::Queued);
}

#[tokio::test]
async fn a_job_that_crashes_three_workers_is_set_aside() {
    let fixture = Fixture::new().await;
    let sweeper = WorkerId::generate();
    let (poison, innocent) = (fixture.enqueue(&terms()).await, fixture.enqueue(&terms()).await);
    for round in 1..=3 {
        let worker = WorkerId::generate();
        assert_eq!(fixture.claim(&worker, 1).await[0].id, poison, "round {round}");
        fixture.raw("HSET", "workers", &[worker.as_str(), "1 run-1"]);
        fixture.raw("ZADD", "leases", &["XX", "1", &poison.to_string()]);
        assert_eq!(fixture.sweep(&sweeper).await.rescued, 1);
    }
    let report = fixture.store.job(&poison).await.expect("a reply").expect("a job");
    assert_eq!((report.state, report.reason.as_deref()), (JobState::Failed, Some("poison")));
    assert_eq!(report.to, mail().to, "its content is kept");
    assert_eq!(fixture.claim(&sweeper, 2).await.len(), 1, "the other job is claimed");
    assert_eq!(fixture.state(&innocent).await, JobState::Sending);
}

#[tokio::test]
async fn a_job_of_a_live_worker_is_not_poison() {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    let id = fixture.enqueue(&terms()).await;
    for _ in 0..4 {
        assert_eq!(fixture.claim(&worker, 1).await.len(), 1);
        fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
        fixture.sweep(&worker).await;
    }
    assert_eq!(fixture.state(&id).await, JobState::Queued);
}

#[tokio::test]
async fn a_lease_from_a_clock_far_ahead_expires() {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    let id = fixture.enqueue(&terms()).await;
    assert_eq!(fixture.claim(&worker, 1).await.len(), 1);
    fixture.raw("ZADD", "leases", &["XX", "9999999999999", &id.to_string()]);
    assert_eq!(fixture.sweep(&worker).await.rescued, 1);
    assert_eq!(fixture.state(&id).await, JobState::Queued);
}

#[tokio::test]
async fn a_newer_job_with_a_lease_is_left_to_newer_workers() {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    let id = JobId::new(fixture.queue.clone());
    fixture
        .store
        .enqueue(&fixture.queue, None, &terms(), &[NewJob { id: id.clone(), mail: mail() }])
        .await
        .expect("in");
    assert_eq!(fixture.claim(&worker, 1).await.len(), 1);
    fixture.raw("SET", &id.short(), &["2 from the future\n{}"]);
    fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
    fixture.sweep(&worker).await;
    let lease: f64 = fixture.raw("ZSCORE", "leases", &[&id.to_string()]).parse().expect("the lease stays");
    assert!(lease > 1.0, "the job is checked again later");
}

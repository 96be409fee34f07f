//! What happens at single steps when Redis was restarted, a worker is late, or is lost.

use std::time::Duration;

use postroom_core::{
    JobId, JobState,
    store::{
        BeginReply, Claim, ClaimId, ClaimReply, Defer, DeferReply, Expiry, FinishReply, KnownJob, KnownState, NewJob,
        Outcome, RestateReply, RunId, Settled, WorkerId,
    },
};
use postroom_testkit::eventually;

use super::{forget, held_terms, remember};
use crate::fixture::{Fixture, mail, terms};

async fn claim(fixture: &Fixture, worker: &WorkerId) -> ClaimReply {
    let id = ClaimId::generate();
    let claim = Claim::new(&fixture.queue, worker, &id, 1);
    fixture.store.claim(&claim).await.expect("an answer")
}

#[tokio::test]
async fn claims_wait_for_those_who_were_alive() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let speak = async |worker: &WorkerId, run: &RunId| {
        fixture.store.complete_restate(&fixture.queue, worker, run).await.expect("spoken")
    };
    assert_eq!(
        (speak(&ann, &"run-1".into()).await, speak(&ben, &"run-1".into()).await),
        (Duration::ZERO, Duration::ZERO)
    );
    fixture.sweep(&ann).await;
    fixture.sweep(&ben).await;
    fixture.enqueue(&terms()).await;
    assert!(speak(&ann, &"run-2".into()).await > Duration::ZERO);
    assert!(matches!(claim(&fixture, &ann).await, ClaimReply::Wait(_)), "Ben may hold it");
    assert_eq!(speak(&ben, &"run-2".into()).await, Duration::ZERO);
    assert!(matches!(claim(&fixture, &ann).await, ClaimReply::Jobs { jobs, .. } if jobs.len() == 1));
}

#[tokio::test]
async fn claims_do_not_wait_for_ever_for_a_worker_that_died() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    for worker in [&ann, &ben] {
        fixture.store.complete_restate(&fixture.queue, worker, &"run-1".into()).await.expect("spoken");
        fixture.sweep(worker).await;
    }
    fixture.enqueue(&terms()).await;
    fixture.store.complete_restate(&fixture.queue, &ann, &"run-2".into()).await.expect("spoken");
    eventually(Duration::from_secs(20), "a claim without Ben", async || {
        matches!(claim(&fixture, &ann).await, ClaimReply::Jobs { jobs, .. } if jobs.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_was_dead_before_is_not_waited_for() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    for worker in [&ann, &ben] {
        fixture.store.complete_restate(&fixture.queue, worker, &"run-1".into()).await.expect("spoken");
    }
    let now_ms = fixture.sweep(&ann).await.now_ms;
    fixture.raw("HSET", "workers", &[ben.as_str(), &format!("{} run-1", now_ms - 60_000)]);
    fixture.enqueue(&terms()).await;
    assert_eq!(
        fixture.store.complete_restate(&fixture.queue, &ann, &"run-2".into()).await.expect("spoken"),
        Duration::ZERO
    );
    assert!(matches!(claim(&fixture, &ann).await, ClaimReply::Jobs { jobs, .. } if jobs.len() == 1));
}

#[tokio::test]
async fn nothing_is_rescued_within_a_lease_of_a_restart() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    fixture.store.complete_restate(&fixture.queue, &ann, &"run-1".into()).await.expect("spoken");
    let id = fixture.enqueue(&terms()).await;
    assert_eq!(fixture.claim(&ann, 1).await.len(), 1);
    fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
    fixture.store.complete_restate(&fixture.queue, &ben, &"run-2".into()).await.expect("spoken");
    assert_eq!(fixture.sweep(&ben).await.rescued, 0);
    assert_eq!(fixture.state(&id).await, JobState::Sending);
}

#[tokio::test]
async fn a_stale_holder_is_told_that_the_job_is_no_longer_its() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let id = fixture.enqueue(&terms()).await;
    let stale = fixture.claim(&ann, 1).await.remove(0);
    fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
    assert_eq!(fixture.sweep(&ben).await.rescued, 1);
    let again = fixture.claim(&ben, 1).await.remove(0);
    assert_eq!(fixture.begin(&ben, &again).await, BeginReply::Begun);
    let known = KnownJob { id: &id, fence: stale.fence, state: KnownState::Held, begun: None, payload: &stale.payload };
    let replies = fixture.store.restate(&fixture.queue, &ann, &"run-2".into(), &[known]).await.expect("an answer");
    assert_eq!(replies, [RestateReply::Lost]);
    assert_eq!(fixture.begin(&ann, &stale).await, BeginReply::Lost);
    assert_eq!(fixture.finish(&ann, &stale, Outcome::Sent).await, FinishReply::Twice);
    assert_eq!(fixture.finish(&ben, &again, Outcome::Sent).await, FinishReply::Finished);
}

/// Ann's two claims were forgotten, she was too late to say so, and Ben was handed the job since: her fence is higher, but old.
#[tokio::test]
async fn who_was_handed_the_job_since_the_restart_keeps_it() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    fixture.store.complete_restate(&fixture.queue, &ben, &"run-1".into()).await.expect("spoken");
    let id = fixture.enqueue(&terms()).await;
    remember(&fixture);
    let first = fixture.claim(&ann, 1).await.remove(0);
    let back = Defer { id: id.clone(), fence: first.fence, delay: Duration::ZERO, left: Settled::default() };
    fixture.store.defer(&fixture.queue, &ann, &[back]).await.expect("handed back");
    let second = fixture.claim(&ann, 1).await.remove(0);
    forget(&fixture);
    fixture.store.complete_restate(&fixture.queue, &ben, &"run-2".into()).await.expect("spoken");
    let bens = fixture.claim(&ben, 1).await.remove(0);
    assert_eq!(fixture.begin(&ben, &bens).await, BeginReply::Begun);
    let known =
        KnownJob { id: &id, fence: second.fence, state: KnownState::Held, begun: None, payload: &second.payload };
    let replies = fixture.store.restate(&fixture.queue, &ann, &"run-2".into(), &[known]).await.expect("an answer");
    assert_eq!(replies, [RestateReply::Lost]);
    let back = Defer { id: id.clone(), fence: second.fence, delay: Duration::ZERO, left: Settled::default() };
    let told = fixture.store.defer(&fixture.queue, &ann, &[back]).await.expect("an answer");
    assert_eq!(told, [DeferReply::Lost]);
    assert_eq!(fixture.finish(&ann, &second, Outcome::Sent).await, FinishReply::Twice);
    assert_eq!(fixture.finish(&ben, &bens, Outcome::Sent).await, FinishReply::Finished);
}

/// Of what was sent a worker keeps the header only: if it dies before it has said more, nobody may send that.
#[tokio::test]
async fn what_was_sent_and_is_gone_is_in_doubt_until_it_is_said() {
    let fixture = Fixture::new().await;
    let ann = WorkerId::generate();
    remember(&fixture);
    let id = fixture.enqueue(&terms()).await;
    let job = fixture.claim(&ann, 1).await.remove(0);
    forget(&fixture);
    let header = format!("{}\n{{}}", job.payload.lines().next().expect("a header"));
    let known = KnownJob { id: &id, fence: job.fence, state: KnownState::Sent, begun: None, payload: &header };
    let replies = fixture.store.restate(&fixture.queue, &ann, &"run-2".into(), &[known]).await.expect("an answer");
    assert_eq!(replies, [RestateReply::Restored]);
    assert!(fixture.claim(&ann, 1).await.is_empty(), "nobody sends it");
    assert_eq!(fixture.state(&id).await, JobState::Unknown);
    assert_eq!(fixture.finish(&ann, &job, Outcome::Sent).await, FinishReply::Finished);
    assert_eq!(fixture.state(&id).await, JobState::Sent);
}

#[tokio::test]
async fn what_is_put_back_expires_in_its_time() {
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

/// Ann's claim was forgotten, and a person cancelled the mail before she could say so.
#[tokio::test]
async fn what_has_ended_meanwhile_is_not_held_again() {
    let fixture = Fixture::new().await;
    let ann = WorkerId::generate();
    let id = fixture.enqueue(&terms()).await;
    remember(&fixture);
    let job = fixture.claim(&ann, 1).await.remove(0);
    forget(&fixture);
    fixture.store.cancel(&id, "person").await.expect("cancelled");
    let known = KnownJob { id: &id, fence: job.fence, state: KnownState::Held, begun: None, payload: &job.payload };
    let replies = fixture.store.restate(&fixture.queue, &ann, &"run-2".into(), &[known]).await.expect("an answer");
    assert_eq!(replies, [RestateReply::Lost]);
    assert_eq!(fixture.begin(&ann, &job).await, BeginReply::Ended);
    assert_eq!(fixture.state(&id).await, JobState::Cancelled);
}

/// Ann's claim was forgotten, she was too late to say so, and Ben got the same fence.
#[tokio::test]
async fn two_holders_of_one_fence_are_told_apart() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    fixture.enqueue(&terms()).await;
    remember(&fixture);
    let first = fixture.claim(&ann, 1).await.remove(0);
    assert_eq!(fixture.begin(&ann, &first).await, BeginReply::Begun);
    forget(&fixture);
    let second = fixture.claim(&ben, 1).await.remove(0);
    assert_eq!(fixture.begin(&ben, &second).await, BeginReply::Begun);
    assert_eq!(first.fence, second.fence);
    assert_eq!(fixture.finish(&ann, &first, Outcome::Failed).await, FinishReply::Lost);
    assert_eq!(fixture.finish(&ann, &first, Outcome::Sent).await, FinishReply::Twice);
    assert_eq!(fixture.finish(&ben, &second, Outcome::Sent).await, FinishReply::Finished);
}

#[tokio::test]
async fn a_late_250_keeps_another_worker_from_sending_it_again() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let id = fixture.enqueue(&terms()).await;
    let first = fixture.claim(&ann, 1).await.remove(0);
    fixture.begin(&ann, &first).await;
    fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
    assert_eq!(fixture.sweep(&ben).await.in_doubt, 1);
    // The policy of emails: sent again.
    let second = fixture.claim(&ben, 1).await.remove(0);
    assert_eq!(fixture.finish(&ann, &first, Outcome::Sent).await, FinishReply::Late);
    assert_eq!(fixture.begin(&ben, &second).await, BeginReply::Lost, "it need not be sent again");
    assert_eq!(fixture.state(&id).await, JobState::Sent);
}

#[tokio::test]
async fn a_job_in_doubt_is_queued_again_when_its_holder_says_that_nothing_was_sent() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let id = fixture.enqueue(&held_terms()).await;
    let claimed = fixture.claim(&ann, 1).await.remove(0);
    fixture.begin(&ann, &claimed).await;
    fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
    assert_eq!(fixture.sweep(&ben).await.in_doubt, 1);
    assert_eq!(fixture.state(&id).await, JobState::Unknown);
    let item = Defer { id: id.clone(), fence: claimed.fence, delay: Duration::ZERO, left: Settled::default() };
    fixture.store.defer(&fixture.queue, &ann, &[item]).await.expect("an answer");
    assert_eq!(fixture.state(&id).await, JobState::Queued);
}

#[tokio::test]
async fn a_job_that_takes_three_workers_down_is_set_aside() {
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
    let report = fixture.store.job(&poison).await.expect("an answer").expect("a job");
    assert_eq!((report.state, report.reason.as_deref()), (JobState::Failed, Some("poison")));
    assert_eq!(report.to, mail().to, "its content is kept");
    assert_eq!(fixture.claim(&sweeper, 2).await.len(), 1, "the rest goes on");
    assert_eq!(fixture.state(&innocent).await, JobState::Sending);
}

#[tokio::test]
async fn a_job_of_a_worker_that_lives_is_no_poison() {
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
async fn a_lease_from_a_clock_far_ahead_is_not_believed() {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    let id = fixture.enqueue(&terms()).await;
    assert_eq!(fixture.claim(&worker, 1).await.len(), 1);
    fixture.raw("ZADD", "leases", &["XX", "9999999999999", &id.to_string()]);
    assert_eq!(fixture.sweep(&worker).await.rescued, 1);
    assert_eq!(fixture.state(&id).await, JobState::Queued);
}

#[tokio::test]
async fn a_newer_job_with_a_lease_is_left_to_those_who_can_read_it() {
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
    let lease: f64 = fixture.raw("ZSCORE", "leases", &[&id.to_string()]).parse().expect("it keeps its lease");
    assert!(lease > 1.0, "and is looked at later");
}

//! Damaged records: each kind of damage affects at most the job with that record.

mod keys;

use std::time::Duration;

use postroom_core::{
    BatchId, JobId, JobState,
    store::{
        BeginReply, CancelReply, Defer, Due, JobFilter, JobTerms, NewJob, Outcome, Resolution, RetryReply, Settled,
        WorkerId,
    },
};
use postroom_testkit::eventually;

use crate::fixture::{Fixture, accepted, mail, terms};

const LIMIT: Duration = Duration::from_secs(20);
/// Index of the damaged job among five.
const DAMAGED: usize = 2;

/// Progress of the jobs when the damage happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Queued,
    Row,
    Scheduled,
    Deferred,
    Claimed,
    ClaimedRow,
    Begun,
    BegunRow,
}

impl Stage {
    fn is_row(self) -> bool {
        matches!(self, Self::Row | Self::ClaimedRow | Self::BegunRow)
    }
}

const WAITING: [Stage; 4] = [Stage::Queued, Stage::Row, Stage::Scheduled, Stage::Deferred];
const FLYING: [Stage; 4] = [Stage::Claimed, Stage::ClaimedRow, Stage::Begun, Stage::BegunRow];

/// Commands on keys of the damaged job: its payload `%`, its hash `h:%` and its flight `f:%`.
type DamageCommands = &'static [&'static [&'static str]];

const OF_PAYLOADS: [DamageCommands; 7] = [
    &[&["SET", "%", "garbage"]],
    &[&["SET", "%", "\n\n\n"]],
    &[&["SET", "%", "1 5 x y z\n{}"]],
    &[&["SET", "%", "1 @nowhere000 5\n{}"]],
    &[&["SET", "%", ""]],
    &[&["DEL", "%"], &["RPUSH", "%", "a", "list"]],
    &[&["DEL", "%"], &["HSET", "%", "a", "hash"]],
];

const OF_HASHES: [DamageCommands; 7] = [
    &[&["DEL", "h:%"], &["SET", "h:%", "a string"]],
    &[&["HSET", "h:%", "fence", "x"]],
    &[&["HSET", "h:%", "fence", "99999999999999999999999"]],
    &[&["HSET", "h:%", "state", "flying"]],
    &[&["HSET", "h:%", "state", "queued", "tries", "1e5"]],
    &[&["HSET", "h:%", "state", "queued", "recipients", "[{"]],
    &[&["HSET", "h:%", "state", "queued", "retried_ms", ""]],
];

/// States whose index does not name the job.
const OF_PLACES: [DamageCommands; 3] = [
    &[&["HSET", "h:%", "state", "sending", "worker", "nobody", "fence", "1"]],
    &[&["HSET", "h:%", "state", "deferred"]],
    &[&["HSET", "h:%", "state", "unknown"]],
];

const OF_FLIGHTS: [DamageCommands; 4] = [
    &[&["SET", "f:%", "garbage"]],
    &[&["SET", "f:%", "1"]],
    &[&["DEL", "f:%"], &["RPUSH", "f:%", "a", "list"]],
    &[&["DEL", "f:%"], &["SET", "h:%", "a string"]],
];

async fn put_in(fixture: &Fixture, stage: Stage) -> (Vec<JobId>, Option<BatchId>) {
    let batch = if stage.is_row() { Some(fixture.create_batch().await) } else { None };
    let due = if stage == Stage::Scheduled { Due::In(Duration::from_millis(1)) } else { Due::Now };
    let terms = JobTerms { due, ..terms() };
    let id = |index| batch.as_ref().map_or_else(|| JobId::new(fixture.queue.clone()), |batch| batch.job(index));
    let jobs: Vec<NewJob> = (0..5).map(|index| NewJob { id: id(index), mail: mail() }).collect();
    fixture.store.enqueue(&fixture.queue, batch.as_ref(), &terms, &jobs).await.expect("enqueued");
    if let Some(batch) = &batch {
        fixture.store.seal_batch(batch, 0, 0).await.expect("sealed");
    }
    (jobs.into_iter().map(|job| job.id).collect(), batch)
}

fn harm(fixture: &Fixture, id: &JobId, damage: DamageCommands) {
    for words in damage {
        let key = words[1].replace('%', &id.short());
        fixture.raw(words[0], &key, &words[2..]);
    }
}

/// Claims, begins and finishes until nothing is left to claim, with a sweep before each claim.
async fn send_all(fixture: &Fixture, worker: &WorkerId) {
    for _ in 0..4 {
        fixture.sweep(worker).await;
        let jobs = fixture.claim(worker, 10).await;
        send(fixture, worker, jobs).await;
    }
}

async fn send(fixture: &Fixture, worker: &WorkerId, jobs: Vec<postroom_core::store::Claimed>) {
    if jobs.is_empty() {
        return;
    }
    let replies = fixture.begin_all(worker, &jobs).await;
    let begun = jobs.into_iter().zip(replies).filter(|(_, reply)| *reply == BeginReply::Begun);
    let begun: Vec<_> = begun.map(|(job, _)| job).collect();
    if !begun.is_empty() {
        fixture.finish_all(worker, &begun, Outcome::Sent, &accepted()).await;
    }
}

async fn check(stage: Stage, damage: DamageCommands) {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    let (ids, batch) = put_in(&fixture, stage).await;
    let damaged = &ids[DAMAGED];
    match stage {
        Stage::Queued | Stage::Row | Stage::Scheduled => harm(&fixture, damaged, damage),
        Stage::Deferred => {
            let jobs = fixture.claim(&worker, 10).await;
            let later = |job: &postroom_core::store::Claimed| Defer {
                id: job.id.clone(),
                fence: job.fence,
                delay: Duration::from_millis(1),
                left: Settled { attempt: 1, ..accepted() },
            };
            let items: Vec<_> = jobs.iter().map(later).collect();
            fixture.store.defer(&fixture.queue, &worker, &items).await.expect("deferred");
            harm(&fixture, damaged, damage);
        }
        Stage::Claimed | Stage::ClaimedRow => {
            let jobs = fixture.claim(&worker, 10).await;
            harm(&fixture, damaged, damage);
            send(&fixture, &worker, jobs).await;
        }
        Stage::Begun | Stage::BegunRow => {
            let jobs = fixture.claim(&worker, 10).await;
            fixture.begin_all(&worker, &jobs).await;
            harm(&fixture, damaged, damage);
            fixture.finish_all(&worker, &jobs, Outcome::Sent, &accepted()).await;
        }
    }
    let case = format!("{stage:?} {damage:?}");
    eventually(LIMIT, &case, async || {
        send_all(&fixture, &worker).await;
        let queue = fixture.store.queue(&fixture.queue).await.expect("a queue");
        (queue.sent_total + queue.failed_total >= 5).then_some(())
    })
    .await;
    // A worker that has begun, or does not need the damaged part, reports that the mail was sent.
    let only_payload = damage.iter().all(|words| words[1] == "%");
    let is_sent = matches!(stage, Stage::Begun | Stage::BegunRow) || (FLYING.contains(&stage) && only_payload);
    check_end(&fixture, is_sent, &ids, batch.as_ref(), &case).await;
    check_steps(&fixture, &worker, &ids[DAMAGED], if is_sent { JobState::Sent } else { JobState::Failed }, &case).await;
}

async fn check_end(fixture: &Fixture, is_sent: bool, ids: &[JobId], batch: Option<&BatchId>, case: &str) {
    for (index, id) in ids.iter().enumerate().filter(|(index, _)| *index != DAMAGED) {
        assert_eq!((fixture.state(id).await, fixture.times_sent(id)), (JobState::Sent, 1), "{case}: {index}");
    }
    let damaged = &ids[DAMAGED];
    let report = fixture.store.job(damaged).await.expect("a reply").expect("a job");
    let end = if is_sent { JobState::Sent } else { JobState::Failed };
    assert_eq!((report.state, report.reason.as_deref()), (end, Some("unreadable")), "{case}: {report:?}");
    assert_eq!(report.error.as_ref().expect("an error").code, "damaged", "{case}");
    let queue = fixture.store.queue(&fixture.queue).await.expect("a queue");
    let left = (queue.scheduled, queue.queued, queue.sending, queue.deferred, queue.unknown);
    assert_eq!(left, (0, 0, 0, 0, 0), "{case}");
    assert_eq!(queue.sent_total + queue.failed_total, 5, "{case}");
    if let Some(batch) = batch {
        let batch = fixture.store.batch(batch).await.expect("a reply").expect("a batch");
        assert!(batch.done && batch.sent + batch.failed == 5, "{case}: {batch:?}");
    }
    let found = fixture.store.damage(&fixture.queue).await.expect("a reply");
    assert!(found.latest.iter().any(|entry| entry.contains(&damaged.to_string())), "{case}: {found:?}");
    let filter = JobFilter { state: Some(end), queues: vec![fixture.queue.clone()], ..JobFilter::default() };
    let page = fixture.store.find_jobs(&filter, None, 10).await.expect("a page");
    assert!(page.jobs.iter().any(|job| job.id == *damaged), "{case}");
}

/// Only a person's retry sends the job, and only if the rest of its record is readable.
async fn check_steps(fixture: &Fixture, worker: &WorkerId, damaged: &JobId, end: JobState, case: &str) {
    let cancelled = fixture.store.cancel(damaged, "person").await.expect("a reply");
    assert_eq!(cancelled, CancelReply::Finished(end), "{case}");
    fixture.store.prune(&fixture.queue).await.expect("pruned");
    send_all(fixture, worker).await;
    assert_eq!(fixture.state(damaged).await, end, "{case}");
    match fixture.store.retry(damaged).await.expect("a reply") {
        RetryReply::Refused { .. } => assert_eq!(fixture.state(damaged).await, end, "{case}"),
        RetryReply::Queued => {
            assert_eq!(end, JobState::Failed, "{case}");
            send_all(fixture, worker).await;
            assert_eq!((fixture.state(damaged).await, fixture.times_sent(damaged)), (JobState::Sent, 1), "{case}");
        }
    }
}

async fn check_all(stages: &[Stage], damages: &[DamageCommands]) {
    for stage in stages {
        for damage in damages {
            check(*stage, damage).await;
        }
    }
}

#[tokio::test]
async fn a_damaged_payload_of_a_waiting_job() {
    check_all(&WAITING, &OF_PAYLOADS).await;
}

#[tokio::test]
async fn a_damaged_payload_of_a_begun_job() {
    // Before begin the payload is not needed: the worker has a copy.
    check_all(&[Stage::Begun, Stage::BegunRow], &OF_PAYLOADS).await;
}

#[tokio::test]
async fn a_damaged_hash() {
    check_all(&WAITING, &OF_HASHES).await;
}

#[tokio::test]
async fn a_state_without_its_index_entry() {
    check_all(&[Stage::Queued, Stage::Row], &OF_PLACES).await;
}

#[tokio::test]
async fn a_damaged_flight() {
    check_all(&FLYING, &OF_FLIGHTS).await;
}

#[tokio::test]
async fn a_missing_payload() {
    check_all(&[Stage::Queued, Stage::Row, Stage::Claimed], &[&[&["DEL", "%"]], &[&["UNLINK", "%"]]]).await;
}

/// Without the flight it is not known whether the mail was begun: the queue's policy decides, as
/// for a lost worker.
#[tokio::test]
async fn a_missing_flight_leaves_the_job_in_doubt() {
    let fixture = Fixture::new().await;
    let mut held = terms();
    held.policy.on_unknown = postroom_core::OnUnknown::Hold;
    held.policy.lease = Duration::from_secs(1);
    let id = fixture.enqueue(&held).await;
    let worker = WorkerId::generate();
    fixture.claim(&worker, 1).await;
    fixture.raw("DEL", &format!("f:{}", id.short()), &[]);
    eventually(LIMIT, "the end of the lease", async || {
        fixture.sweep(&worker).await;
        (fixture.state(&id).await == JobState::Unknown).then_some(())
    })
    .await;
    let queue = fixture.store.queue(&fixture.queue).await.expect("a queue");
    assert_eq!((queue.queued, queue.sending, queue.unknown), (0, 0, 1));
}

/// A call searches a bounded number of entries for damaged jobs. The rest is read in further calls.
#[tokio::test]
async fn many_damaged_sent_jobs_are_read_as_sent() {
    let (fixture, worker) = (Fixture::new().await, WorkerId::generate());
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(fixture.enqueue(&terms()).await);
    }
    send_all(&fixture, &worker).await;
    let hours = fixture.raw("ZRANGE", "sent", &["0", "-1"]);
    let hour = hours.lines().last().expect("an hour with sent jobs").to_owned();
    let others = vec!["another job"; 10_000];
    for _ in 0..25 {
        fixture.raw("RPUSH", &format!("sent:{hour}"), &others);
    }
    for id in &ids {
        fixture.raw("SET", &id.short(), &["garbage"]);
    }
    let states: Vec<_> =
        fixture.store.jobs(&ids).await.expect("read").into_iter().flatten().map(|job| job.state).collect();
    assert_eq!(states, vec![JobState::Sent; ids.len()]);
}

/// The index of deferred jobs still names the job, but its record reads as queued.
#[tokio::test]
async fn a_deferred_job_that_lost_its_state_is_set_aside() {
    check(Stage::Deferred, &[&["DEL", "h:%"], &["HSET", "h:%", "garbage", "1"]]).await;
    check(Stage::Deferred, &[&["DEL", "h:%"]]).await;
}

/// Damages to a hash after which it has no state.
const WITHOUT_STATE: [DamageCommands; 5] = [
    &[&["DEL", "h:%"]],
    &[&["DEL", "h:%"], &["HSET", "h:%", "garbage", "1"]],
    &[&["DEL", "h:%"], &["SADD", "h:%", "garbage"]],
    &[&["DEL", "h:%"], &["SET", "h:%", "garbage"]],
    &[&["HDEL", "h:%", "state"]],
];

async fn settle_as(fixture: &Fixture, outcome: Outcome, damage: DamageCommands) -> JobId {
    let mut held = terms();
    held.policy.on_unknown = postroom_core::OnUnknown::Hold;
    let id = fixture.enqueue(&held).await;
    let worker = WorkerId::generate();
    let jobs = fixture.claim(&worker, 1).await;
    fixture.begin_all(&worker, &jobs).await;
    fixture.finish_all(&worker, &jobs, outcome, &Settled { attempt: 1, ..Settled::default() }).await;
    harm(fixture, &id, damage);
    id
}

/// No list of waiting jobs names it, so it must not read as queued.
#[tokio::test]
async fn a_failed_job_that_lost_its_state_stays_failed() {
    for damage in WITHOUT_STATE {
        let fixture = Fixture::new().await;
        let id = settle_as(&fixture, Outcome::Failed, damage).await;
        assert_eq!(fixture.state(&id).await, JobState::Failed, "{damage:?}");
        let retried = fixture.store.retry(&id).await.expect("a reply");
        assert!(matches!(retried, RetryReply::Refused { state: JobState::Failed, .. }), "{damage:?}: {retried:?}");
        assert_eq!(fixture.state(&id).await, JobState::Failed, "{damage:?}");
        let queue = fixture.store.queue(&fixture.queue).await.expect("a queue");
        assert_eq!((queue.queued, queue.failed_total), (0, 1), "{damage:?}");
    }
}

#[tokio::test]
async fn an_unknown_job_that_lost_its_state_stays_unknown_until_it_is_resolved() {
    let resolutions = [
        (Resolution::Failed, JobState::Failed),
        (Resolution::Sent, JobState::Sent),
        (Resolution::Resend, JobState::Failed),
    ];
    for (damage, (resolution, state)) in WITHOUT_STATE.iter().flat_map(|damage| resolutions.map(|end| (damage, end))) {
        let fixture = Fixture::new().await;
        let id = settle_as(&fixture, Outcome::Unknown, damage).await;
        assert_eq!(fixture.state(&id).await, JobState::Unknown, "{damage:?}");
        let resend = fixture.store.resolve(&id, resolution).await;
        assert_eq!(resend.is_err(), resolution == Resolution::Resend, "{damage:?}");
        assert_eq!(fixture.state(&id).await, state, "{damage:?}");
        let queue = fixture.store.queue(&fixture.queue).await.expect("a queue");
        assert_eq!((queue.queued, queue.unknown, queue.failed_total + queue.sent_total), (0, 0, 1), "{damage:?}");
    }
}

//! Damaged records: each kind of damage harms at most the job whose record it is.

use std::time::Duration;

use postroom_core::{
    BatchId, JobId, JobState,
    store::{BeginReply, CancelReply, Due, JobFilter, JobTerms, NewJob, Outcome, RetryReply, Settled, WorkerId},
};
use postroom_testkit::{PrivateRedis, eventually};

use crate::fixture::{Fixture, accepted, mail, terms};

const LIMIT: Duration = Duration::from_secs(20);
/// The job that is damaged, of five.
const DAMAGED: usize = 2;

/// How far the jobs are when the damage is done.
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
type Damage = &'static [&'static [&'static str]];

const OF_PAYLOADS: [Damage; 7] = [
    &[&["SET", "%", "garbage"]],
    &[&["SET", "%", "\n\n\n"]],
    &[&["SET", "%", "1 5 x y z\n{}"]],
    &[&["SET", "%", "1 @nowhere000 5\n{}"]],
    &[&["SET", "%", ""]],
    &[&["DEL", "%"], &["RPUSH", "%", "a", "list"]],
    &[&["DEL", "%"], &["HSET", "%", "a", "hash"]],
];

const OF_HASHES: [Damage; 7] = [
    &[&["DEL", "h:%"], &["SET", "h:%", "a string"]],
    &[&["HSET", "h:%", "fence", "x"]],
    &[&["HSET", "h:%", "fence", "99999999999999999999999"]],
    &[&["HSET", "h:%", "state", "flying"]],
    &[&["HSET", "h:%", "state", "queued", "tries", "1e5"]],
    &[&["HSET", "h:%", "state", "queued", "recipients", "[{"]],
    &[&["HSET", "h:%", "state", "queued", "retried_ms", ""]],
];

/// What a claim finds that is in no index.
const OF_PLACES: [Damage; 3] = [
    &[&["HSET", "h:%", "state", "sending", "worker", "nobody", "fence", "1"]],
    &[&["HSET", "h:%", "state", "deferred"]],
    &[&["HSET", "h:%", "state", "unknown"]],
];

const OF_FLIGHTS: [Damage; 4] = [
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

fn harm(fixture: &Fixture, id: &JobId, damage: Damage) {
    for words in damage {
        let key = words[1].replace('%', &id.short());
        fixture.raw(words[0], &key, &words[2..]);
    }
}

/// Claims, begins and finishes until nothing is left to claim; sweeps in between.
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

async fn check(stage: Stage, damage: Damage) {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    let (ids, batch) = put_in(&fixture, stage).await;
    let damaged = &ids[DAMAGED];
    match stage {
        Stage::Queued | Stage::Row | Stage::Scheduled => harm(&fixture, damaged, damage),
        Stage::Deferred => {
            let jobs = fixture.claim(&worker, 10).await;
            let later = |job: &postroom_core::store::Claimed| {
                (job.id.clone(), job.fence, Duration::from_millis(1), Settled { attempt: 1, ..accepted() })
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
    // A worker that has begun, or needs nothing of what is damaged, reports that it was sent.
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
    let report = fixture.store.job(damaged).await.expect("an answer").expect("a job");
    let end = if is_sent { JobState::Sent } else { JobState::Failed };
    assert_eq!((report.state, report.reason.as_deref()), (end, Some("unreadable")), "{case}: {report:?}");
    assert_eq!(report.error.as_ref().expect("an error").code, "damaged", "{case}");
    let queue = fixture.store.queue(&fixture.queue).await.expect("a queue");
    let left = (queue.scheduled, queue.queued, queue.sending, queue.deferred, queue.unknown);
    assert_eq!(left, (0, 0, 0, 0, 0), "{case}");
    assert_eq!(queue.sent_total + queue.failed_total, 5, "{case}");
    if let Some(batch) = batch {
        let batch = fixture.store.batch(batch).await.expect("an answer").expect("a batch");
        assert!(batch.done && batch.sent + batch.failed == 5, "{case}: {batch:?}");
    }
    let found = fixture.store.damage(&fixture.queue).await.expect("an answer");
    assert!(found.latest.iter().any(|entry| entry.contains(&damaged.to_string())), "{case}: {found:?}");
    let filter = JobFilter { state: Some(end), queues: vec![fixture.queue.clone()], ..JobFilter::default() };
    let page = fixture.store.find_jobs(&filter, None, 10).await.expect("a page");
    assert!(page.jobs.iter().any(|job| job.id == *damaged), "{case}");
}

/// Nothing but a person's retry sends it, and that only where what is left of it can be read.
async fn check_steps(fixture: &Fixture, worker: &WorkerId, damaged: &JobId, end: JobState, case: &str) {
    let cancelled = fixture.store.cancel(damaged, "person").await.expect("an answer");
    assert_eq!(cancelled, CancelReply::Finished(end), "{case}");
    fixture.store.prune(&fixture.queue).await.expect("pruned");
    send_all(fixture, worker).await;
    assert_eq!(fixture.state(damaged).await, end, "{case}");
    match fixture.store.retry(damaged).await.expect("an answer") {
        RetryReply::Refused { .. } => assert_eq!(fixture.state(damaged).await, end, "{case}"),
        RetryReply::Queued => {
            assert_eq!(end, JobState::Failed, "{case}");
            send_all(fixture, worker).await;
            assert_eq!((fixture.state(damaged).await, fixture.times_sent(damaged)), (JobState::Sent, 1), "{case}");
        }
    }
}

async fn check_all(stages: &[Stage], damages: &[Damage]) {
    for stage in stages {
        for damage in damages {
            check(*stage, damage).await;
        }
    }
}

#[tokio::test]
async fn a_damaged_payload_of_what_waits() {
    check_all(&WAITING, &OF_PAYLOADS).await;
}

#[tokio::test]
async fn a_damaged_payload_of_what_is_sent() {
    // Before the mark it is not needed: what the worker has is whole.
    check_all(&[Stage::Begun, Stage::BegunRow], &OF_PAYLOADS).await;
}

#[tokio::test]
async fn a_damaged_hash() {
    check_all(&WAITING, &OF_HASHES).await;
}

#[tokio::test]
async fn a_state_that_no_index_has() {
    check_all(&[Stage::Queued, Stage::Row], &OF_PLACES).await;
}

#[tokio::test]
async fn a_damaged_flight() {
    check_all(&FLYING, &OF_FLIGHTS).await;
}

#[tokio::test]
async fn a_payload_that_is_gone() {
    check_all(&[Stage::Queued, Stage::Row, Stage::Claimed], &[&[&["DEL", "%"]], &[&["UNLINK", "%"]]]).await;
}

/// The flight is lost, and with it whether the mail was begun: the policy of its queue decides, as for a lost worker.
#[tokio::test]
async fn a_flight_that_is_gone_is_a_doubt() {
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

/// Keys of the queue that hold no job that would be lost with them.
#[tokio::test]
async fn a_key_of_the_wrong_type_is_moved_aside() {
    let minute = PrivateRedis::shared().ask(&["TIME"]).lines().next().expect("seconds").parse::<u64>().expect("s") / 60;
    let names = [
        "n",
        "workers",
        "run",
        "wake",
        "wake:urgent",
        "lines",
        "leases",
        "expiring",
        "scheduled:urgent",
        "scheduled:normal",
        "scheduled:low",
        "deferred:urgent",
        "deferred:normal",
        "deferred:low",
        "ready:0",
        "ready:9",
        "failed",
        "cancelled",
        "unknown",
        "sent",
        "batches",
        "notices",
        "webhooks",
        "sweeping",
        "newer",
        "damaged",
    ];
    let of_now = [format!("m:{minute}"), format!("m:{}", minute + 1), format!("sent:{}", minute / 60)];
    for name in names.into_iter().map(str::to_owned).chain(of_now) {
        for late in [false, true] {
            check_key(&name, late).await;
        }
    }
}

async fn check_key(name: &str, late: bool) {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    let (ids, _) = put_in(&fixture, Stage::Queued).await;
    let mut jobs = Vec::new();
    if late {
        jobs = fixture.claim(&worker, 10).await;
    }
    fixture.raw("DEL", name, &[]);
    fixture.raw("SET", name, &["something else"]);
    // What people look at, first of all: plain commands.
    let filter = JobFilter { queues: vec![fixture.queue.clone()], ..JobFilter::default() };
    fixture.store.find_jobs(&filter, None, 100).await.expect("a page");
    fixture.store.queue(&fixture.queue).await.expect("a queue");
    fixture.store.minutes(&fixture.queue, 5).await.expect("minutes");
    fixture.store.notices(&fixture.queue).await.expect("notices");
    fixture.raw("DEL", name, &[]);
    fixture.raw("SET", name, &["something else"]);
    send(&fixture, &worker, jobs).await;
    send_all(&fixture, &worker).await;
    fixture.store.batches(&fixture.queue, 0, 10).await.expect("batches");
    fixture.store.prune(&fixture.queue).await.expect("pruned");
    for id in &ids {
        assert_eq!(fixture.state(id).await, JobState::Sent, "{name} {late}");
    }
    let queue = fixture.store.queue(&fixture.queue).await.expect("a queue");
    assert_eq!((queue.queued, queue.sending), (0, 0), "{name} {late}: {queue:?}");
    let found = fixture.store.damage(&fixture.queue).await.expect("an answer");
    // Nobody has looked at it, such as at the minute that is over.
    let is_unseen = fixture.raw("GET", name, &[]) == "something else";
    assert!(
        name == "damaged" || is_unseen || found.latest.iter().any(|entry| entry.starts_with(&format!("key {name}: "))),
        "{name} {late}: {found:?}"
    );
}

/// Counters of the queue and of a batch: they add up again.
#[tokio::test]
async fn a_counter_that_is_not_a_number_is_worked_out_again() {
    for field in ["queued", "sending", "sent", "total", "failed"] {
        for value in ["x", "", "99999999999999999999", "1.5"] {
            let fixture = Fixture::new().await;
            let worker = WorkerId::generate();
            let (ids, batch) = put_in(&fixture, Stage::Row).await;
            let batch = batch.expect("a batch");
            fixture.raw("HSET", &format!("b:{batch}"), &[field, value]);
            fixture.raw("HSET", "n", &[if field == "sent" { "sent_total" } else { field }, value]);
            let jobs = fixture.claim(&worker, 2).await;
            send(&fixture, &worker, jobs).await;
            send_all(&fixture, &worker).await;
            for id in &ids {
                assert_eq!(fixture.state(id).await, JobState::Sent, "{field} {value:?}");
            }
            let queue = fixture.store.queue(&fixture.queue).await.expect("a queue");
            assert_eq!((queue.queued, queue.sending), (0, 0), "{field} {value:?}");
            let told = fixture.store.batch(&batch).await.expect("an answer").expect("a batch");
            assert!(told.done, "{field} {value:?}: {told:?}");
            // A counter that this run did not touch stays as it is.
            let touched = matches!(field, "queued" | "sending" | "sent");
            assert!(!touched || (told.total, told.sent, told.queued) == (5, 5, 0), "{field} {value:?}: {told:?}");
        }
    }
}

/// Members that are not ids of the queue: nothing else is touched by way of them.
#[tokio::test]
async fn members_that_are_no_ids_are_dropped() {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    let (ids, _) = put_in(&fixture, Stage::Queued).await;
    let stranger = format!("bulk-{}", ids[0].short());
    let garbage =
        ["", "x", "leases", "ready:5", "n", "emails-", &stranger, &ids[0].short(), "emails-01ARZ3NDEKTSV4RRFFQ69G5FAI"];
    for member in garbage {
        fixture.raw("LPUSH", "ready:5", &[member]);
        for zset in ["scheduled:normal", "deferred:low", "leases", "expiring"] {
            fixture.raw("ZADD", zset, &["1", member]);
        }
        for zset in ["failed", "sent", "batches", "notices", "webhooks", "lines", "sweeping"] {
            fixture.raw("ZADD", zset, &["1", member]);
        }
    }
    send_all(&fixture, &worker).await;
    for _ in 0..3 {
        fixture.store.prune(&fixture.queue).await.expect("pruned");
    }
    for id in &ids {
        assert_eq!((fixture.state(id).await, fixture.times_sent(id)), (JobState::Sent, 1));
    }
    let filter = JobFilter { queues: vec![fixture.queue.clone()], ..JobFilter::default() };
    assert_eq!(fixture.store.find_jobs(&filter, None, 100).await.expect("a page").jobs.len(), 5);
    for _ in 0..garbage.len() {
        fixture.store.prune(&fixture.queue).await.expect("pruned");
    }
    for key in ["leases", "scheduled:normal", "deferred:low", "expiring", "sweeping", "failed"] {
        assert_eq!(fixture.raw("ZCARD", key, &[]), "0", "{key}");
    }
    assert!(fixture.store.damage(&fixture.queue).await.expect("an answer").found > 0);
}

/// A good job that is named where it does not belong is sent once all the same.
#[tokio::test]
async fn an_entry_in_the_wrong_index_sends_nothing_twice() {
    for zset in ["scheduled:urgent", "scheduled:normal", "deferred:normal", "deferred:low", "expiring", "failed"] {
        let fixture = Fixture::new().await;
        let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
        let id = fixture.enqueue(&terms()).await;
        let job = fixture.claim(&ann, 1).await.remove(0);
        fixture.begin(&ann, &job).await;
        fixture.raw("ZADD", zset, &["1", &id.to_string()]);
        fixture.raw("LPUSH", "ready:5", &[&id.to_string()]);
        fixture.sweep(&ben).await;
        assert!(fixture.claim(&ben, 1).await.is_empty(), "{zset}");
        fixture.finish(&ann, &job, Outcome::Sent).await;
        send_all(&fixture, &ben).await;
        assert_eq!((fixture.state(&id).await, fixture.times_sent(&id)), (JobState::Sent, 1), "{zset}");
        assert!(zset == "failed" || fixture.raw("ZCARD", zset, &[]) == "0", "{zset}");
    }
}

/// An entry in an index does not end a job.
#[tokio::test]
async fn an_entry_in_the_wrong_index_ends_nothing() {
    for zset in ["expiring", "failed", "cancelled", "scheduled:normal", "deferred:low"] {
        let (fixture, ann) = (Fixture::new().await, WorkerId::generate());
        let (whole, damaged) = (fixture.enqueue(&terms()).await, fixture.enqueue(&terms()).await);
        for id in [&whole, &damaged] {
            fixture.raw("ZADD", zset, &["1", &id.to_string()]);
        }
        harm(&fixture, &damaged, OF_FLIGHTS[0]);
        send_all(&fixture, &ann).await;
        assert_eq!(fixture.state(&whole).await, JobState::Sent, "{zset}");
        assert_eq!(fixture.state(&damaged).await, JobState::Failed, "{zset}");
        let queue = fixture.store.queue(&fixture.queue).await.expect("a queue");
        assert_eq!((queue.sent_total, queue.failed_total, queue.cancelled_total), (1, 1, 0), "{zset}");
    }
}

/// What all programs share: garbage in it hides nothing else.
#[tokio::test]
async fn garbage_among_queues_processes_and_schedules_hides_nothing() {
    let fixture = Fixture::new().await;
    fixture.store.announce_queues(std::slice::from_ref(&fixture.queue)).await.expect("announced");
    let system = |name: &str| format!("{{{}:system}}:{name}", fixture.prefix);
    let redis = PrivateRedis::shared();
    for member in ["", "UPPER", "a b", "{x}"] {
        redis.ask(&["SADD", &system("queues"), member]);
        redis.ask(&["HSET", &system("processes"), member, "no report"]);
    }
    redis.ask(&["ZADD", &system("schedules"), "1", "broken"]);
    redis.ask(&["HSET", &system("schedule:broken"), "name", "broken"]);
    assert!(fixture.store.known_queues().await.expect("queues").contains(&fixture.queue));
    assert_eq!(fixture.store.processes().await.expect("processes"), []);
    assert!(fixture.store.schedules().await.expect("schedules").is_empty());
    let unreadable = fixture.store.unreadable_members().await.expect("an answer");
    assert_eq!(unreadable, [(system("queues"), 4), (system("processes"), 4), (system("schedules"), 1)]);
    for name in ["queues", "processes", "schedules", "limits", "captured"] {
        redis.ask(&["DEL", &system(name)]);
        redis.ask(&["SET", &system(name), "something else"]);
    }
    assert_eq!(fixture.store.known_queues().await.expect("queues").len(), 3, "the built-in ones");
    assert_eq!(fixture.store.processes().await.expect("processes"), []);
    assert!(fixture.store.schedules().await.expect("schedules").is_empty());
    assert!(fixture.store.live_limits().await.expect("limits").is_empty());
    assert!(fixture.store.captured(0, 10).await.expect("mails").is_empty());
    assert_eq!(fixture.store.system_damage().await.expect("an answer").found, 5);
}

//! Damage to shared keys: wrong types, counters, members of lists and zsets.

use postroom_core::{
    JobState,
    store::{JobFilter, Outcome, WorkerId},
};
use postroom_testkit::PrivateRedis;

use super::{OF_FLIGHTS, Stage, harm, put_in, send, send_all};
use crate::fixture::{Fixture, terms};

/// Keys of the queue that can be replaced without losing a job.
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
    // Reads by plain commands come first.
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
    let found = fixture.store.damage(&fixture.queue).await.expect("a reply");
    // The key was not used, such as the counters of a past minute.
    let is_unseen = fixture.raw("GET", name, &[]) == "something else";
    assert!(
        name == "damaged" || is_unseen || found.latest.iter().any(|entry| entry.starts_with(&format!("key {name}: "))),
        "{name} {late}: {found:?}"
    );
}

/// Counters of the queue and of a batch add up again.
#[tokio::test]
async fn a_counter_that_is_not_a_number_is_calculated_again() {
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
            let report = fixture.store.batch(&batch).await.expect("a reply").expect("a batch");
            assert!(report.done, "{field} {value:?}: {report:?}");
            // A counter that this run does not change stays as it is.
            let touched = matches!(field, "queued" | "sending" | "sent");
            assert!(
                !touched || (report.total, report.sent, report.queued) == (5, 5, 0),
                "{field} {value:?}: {report:?}"
            );
        }
    }
}

/// Members that are not ids of the queue lead to no other key.
#[tokio::test]
async fn members_that_are_not_ids_are_dropped() {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    let (ids, _) = put_in(&fixture, Stage::Queued).await;
    let foreign = format!("bulk-{}", ids[0].short());
    let garbage =
        ["", "x", "leases", "ready:5", "n", "emails-", &foreign, &ids[0].short(), "emails-01ARZ3NDEKTSV4RRFFQ69G5FAI"];
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
    assert!(fixture.store.damage(&fixture.queue).await.expect("a reply").found > 0);
}

/// An intact job that is named in a wrong index is still sent once.
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

/// An entry in an index does not finish a job.
#[tokio::test]
async fn an_entry_in_the_wrong_index_finishes_no_job() {
    for zset in ["expiring", "failed", "cancelled", "scheduled:normal", "deferred:low"] {
        let (fixture, ann) = (Fixture::new().await, WorkerId::generate());
        let (intact, damaged) = (fixture.enqueue(&terms()).await, fixture.enqueue(&terms()).await);
        for id in [&intact, &damaged] {
            fixture.raw("ZADD", zset, &["1", &id.to_string()]);
        }
        harm(&fixture, &damaged, OF_FLIGHTS[0]);
        send_all(&fixture, &ann).await;
        assert_eq!(fixture.state(&intact).await, JobState::Sent, "{zset}");
        assert_eq!(fixture.state(&damaged).await, JobState::Failed, "{zset}");
        let queue = fixture.store.queue(&fixture.queue).await.expect("a queue");
        assert_eq!((queue.sent_total, queue.failed_total, queue.cancelled_total), (1, 1, 0), "{zset}");
    }
}

/// Keys of all programs: invalid members do not affect valid ones.
#[tokio::test]
async fn invalid_queues_processes_and_schedules_do_not_affect_valid_ones() {
    let fixture = Fixture::new().await;
    fixture.store.register_queues(std::slice::from_ref(&fixture.queue)).await.expect("announced");
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
    let unreadable = fixture.store.unreadable_members().await.expect("a reply");
    assert_eq!(unreadable, [(system("queues"), 4), (system("processes"), 4), (system("schedules"), 1)]);
    for name in ["queues", "processes", "schedules", "limits", "captured"] {
        redis.ask(&["DEL", &system(name)]);
        redis.ask(&["SET", &system(name), "something else"]);
    }
    assert_eq!(fixture.store.known_queues().await.expect("queues").len(), 3, "the built-in queues");
    assert_eq!(fixture.store.processes().await.expect("processes"), []);
    assert!(fixture.store.schedules().await.expect("schedules").is_empty());
    assert!(fixture.store.live_limits().await.expect("limits").is_empty());
    assert!(fixture.store.captured(0, 10).await.expect("mails").is_empty());
    assert_eq!(fixture.store.system_damage().await.expect("a reply").found, 5);
}

/// Lists keep the ids of finished jobs. An old id without any data is normal.
#[tokio::test]
async fn an_old_id_without_data_is_not_damage() {
    let fixture = Fixture::new().await;
    let id = "emails-01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().expect("an id of the year 2016");
    fixture.enqueue_as(&id, None, &terms()).await;
    fixture.store.cancel(&id, "person").await.expect("a reply");
    fixture.raw("DEL", &id.short(), &[]);
    fixture.raw("DEL", &format!("h:{}", id.short()), &[]);
    assert_eq!(fixture.raw("LLEN", "ready:5", &[]), "1", "the id is still listed");
    assert!(fixture.claim(&WorkerId::generate(), 5).await.is_empty());
    let queue = fixture.store.queue(&fixture.queue).await.expect("a queue");
    assert_eq!((queue.queued, queue.failed_total, queue.cancelled_total), (0, 0, 1));
    assert_eq!(fixture.raw("HGET", "n", &["queued"]), "0");
    assert_eq!(fixture.store.damage(&fixture.queue).await.expect("a reply").found, 0);
}

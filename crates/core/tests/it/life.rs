//! Steps in a job's life that the model does not distinguish.

use std::time::Duration;

use postroom_core::{
    AttemptRecord, Error, JobId, JobState, RecipientReport, RecipientResult,
    store::{
        BeginReply, CancelReply, ClaimReply, Defer, Due, Expiry, KeyReservation, NewJob, Outcome, RetryReply, Settled,
        WakeListener, WorkerId,
    },
};
use postroom_testkit::{PrivateRedis, eventually};

use crate::fixture::{Fixture, mail, terms};

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_jobs_history_is_complete() {
    let fixture = Fixture::new().await;
    let id = fixture.enqueue(&terms()).await;
    let worker = WorkerId::generate();
    let job = fixture.claim(&worker, 1).await.remove(0);
    assert_eq!(fixture.begin(&worker, &job).await, BeginReply::Begun);
    let record = AttemptRecord {
        n: 1,
        counted: true,
        at_ms: 1_700_000_000_000,
        transport: "default".to_owned(),
        phase: Some("rcpt".to_owned()),
        code: Some(451),
        enhanced: Some("4.7.1".to_owned()),
        reply: "451 4.7.1 later, \"please\"\nŻ".to_owned(),
        verdict: "later".to_owned(),
        ms: 12,
    };
    let settled = Settled {
        attempt: 1,
        error: Some(("later".to_owned(), "451 4.7.1 later".to_owned())),
        receipt: None,
        recipients: vec![RecipientReport {
            address: "ann@example.org".parse().expect("an address"),
            result: RecipientResult::Open,
            reply: Some("451".to_owned()),
        }],
        records: vec![record],
    };
    let item = Defer { id: id.clone(), fence: job.fence, delay: Duration::from_millis(1), left: settled };
    fixture.store.defer(&fixture.queue, &worker, &[item]).await.expect("deferred");

    let second = eventually(LIMIT, "the second claim", async || fixture.claim(&worker, 1).await.pop()).await;
    assert_eq!((second.attempt, second.tries, second.fence), (1, 1, 2));
    assert_eq!(second.message_id.as_deref(), Some("message@example.org"));
    assert_eq!(second.date_ms, Some(1_700_000_000_000));
    assert_eq!(second.recipients.len(), 1);
    fixture.begin(&worker, &second).await;
    fixture.finish(&worker, &second, Outcome::Sent).await;

    let report = fixture.store.job(&id).await.expect("a reply").expect("a job");
    assert_eq!(report.state, JobState::Sent);
    assert_eq!(report.attempts.len(), 1);
    assert_eq!(report.attempts[0].reply, "451 4.7.1 later, \"please\"\nŻ");
    assert_eq!(report.attempts[0].at(), "2023-11-14T22:13:20.000Z");
    assert_eq!(report.error, None, "a sent mail has no error");
}

#[tokio::test]
async fn without_retention_only_a_tombstone_is_kept() {
    let fixture = Fixture::new().await;
    let mut terms = terms();
    terms.policy.retention = None;
    let id = fixture.enqueue(&terms).await;
    let worker = WorkerId::generate();
    let job = fixture.claim(&worker, 1).await.remove(0);
    fixture.begin(&worker, &job).await;
    fixture.finish(&worker, &job, Outcome::Sent).await;
    assert_eq!(fixture.raw("EXISTS", &id.short(), &[]), "0", "the payload is deleted");
    let ttl: i64 = fixture.raw("PTTL", &format!("h:{}", id.short()), &[]).parse().expect("a number");
    assert!((80_000_000..=86_400_000).contains(&ttl), "{ttl}");
    assert_eq!(fixture.state(&id).await, JobState::Sent);
    let known = NewJob { id, mail: mail() };
    let done = fixture.store.enqueue(&fixture.queue, None, &terms, &[known]).await.expect("a reply");
    assert_eq!((done.added, done.known), (0, 1), "the tombstone prevents a second enqueue");
}

#[tokio::test]
async fn sensitive_variables_are_dropped_when_the_job_finishes() {
    let fixture = Fixture::new().await;
    let mut terms = terms();
    terms.sensitive = true;
    let id = JobId::new(fixture.queue.clone());
    let mut secret = mail();
    secret.vars.insert("token".to_owned(), "s3cret".into());
    let job = NewJob { id: id.clone(), mail: secret };
    fixture.store.enqueue(&fixture.queue, None, &terms, &[job]).await.expect("enqueued");
    let worker = WorkerId::generate();
    let claimed = fixture.claim(&worker, 1).await.remove(0);
    let (_, mail) = claimed.content.clone().expect("content");
    assert_eq!(mail.vars["token"], "s3cret", "the worker gets the variables");
    fixture.begin(&worker, &claimed).await;
    fixture.finish(&worker, &claimed, Outcome::Failed).await;
    assert!(!fixture.raw("GET", &id.short(), &[]).contains("s3cret"));
    let report = fixture.store.job(&id).await.expect("a reply").expect("a job");
    assert_eq!(report.to.len(), 1, "the other fields stay");
    let retried = fixture.store.retry(&id).await.expect("a reply");
    assert!(matches!(retried, RetryReply::Refused { .. }), "{retried:?}");
}

#[tokio::test]
async fn an_expired_mail_reads_as_cancelled_without_a_sweep() {
    let fixture = Fixture::new().await;
    let mut terms = terms();
    terms.expires = Some(Expiry::In(Duration::from_millis(1)));
    let id = fixture.enqueue(&terms).await;
    let report = eventually(LIMIT, "the expiry", async || {
        fixture.store.job(&id).await.expect("a reply").filter(|job| job.state == JobState::Cancelled)
    })
    .await;
    assert_eq!(report.reason.as_deref(), Some("expired"));
    assert!(fixture.claim(&WorkerId::generate(), 1).await.is_empty());
}

#[tokio::test]
async fn a_mail_that_is_too_old_fails() {
    let fixture = Fixture::new().await;
    let mut terms = terms();
    terms.policy.max_age = Duration::from_millis(1);
    let id = fixture.enqueue(&terms).await;
    let start = redis_ms();
    eventually(LIMIT, "two more milliseconds", async || (redis_ms() > start + 1).then_some(())).await;
    assert!(fixture.claim(&WorkerId::generate(), 1).await.is_empty());
    assert_eq!(fixture.state(&id).await, JobState::Failed);
    let report = fixture.store.job(&id).await.expect("a reply").expect("a job");
    assert_eq!(report.reason.as_deref(), Some("too_old"));
}

#[tokio::test]
async fn a_scheduled_mail_waits_until_it_is_due() {
    let fixture = Fixture::new().await;
    let mut terms = terms();
    terms.due = Due::In(Duration::from_millis(300));
    let id = fixture.enqueue(&terms).await;
    assert_eq!(fixture.state(&id).await, JobState::Scheduled);
    let report = fixture.store.job(&id).await.expect("a reply").expect("a job");
    let worker = WorkerId::generate();
    let claimed = eventually(LIMIT, "the due time", async || fixture.claim(&worker, 1).await.pop()).await;
    assert_eq!(claimed.id, id);
    let (header, _) = claimed.content.expect("content");
    assert_eq!(header.due_ms - header.enqueued_ms, 300);
    assert!(redis_ms() >= header.due_ms, "it is not claimed early");
    assert!(report.due_at > report.enqueued_at);
}

#[tokio::test]
async fn workers_are_woken_for_new_mail_and_for_an_earlier_due_time() {
    let fixture = Fixture::new().await;
    let mut bell = WakeListener::new(&fixture.store, std::slice::from_ref(&fixture.queue));
    assert!(!bell.wait(Duration::from_millis(20)).await.expect("a reply"), "no job is ready");
    fixture.enqueue(&terms()).await;
    assert!(bell.wait(LIMIT).await.expect("a reply"));
    assert!(!bell.wait(Duration::from_millis(20)).await.expect("a reply"), "one token");
    let mut later = terms();
    later.due = Due::In(Duration::from_secs(100));
    fixture.enqueue(&later).await;
    assert!(bell.wait(LIMIT).await.expect("a reply"), "it is the first of its class");
    later.due = Due::In(Duration::from_secs(200));
    fixture.enqueue(&later).await;
    assert!(!bell.wait(Duration::from_millis(20)).await.expect("a reply"), "it is later than the first");
    later.due = Due::In(Duration::from_secs(50));
    fixture.enqueue(&later).await;
    assert!(bell.wait(LIMIT).await.expect("a reply"), "it is earlier than the first");
}

#[tokio::test]
async fn an_idempotency_key_is_reserved_once() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let first = store.reserve("order-7", "emails-1", "abc").await.expect("reserved");
    assert_eq!(first, KeyReservation::New("emails-1".to_owned()));
    let second = store.reserve("order-7", "emails-2", "abc").await.expect("known");
    assert_eq!(second, KeyReservation::Known("emails-1".to_owned()));
    let other = store.reserve("order-7", "emails-3", "xyz").await;
    assert!(matches!(other, Err(Error::Conflict(_))), "{other:?}");
}

#[tokio::test]
async fn an_unreadable_job_is_set_aside_and_the_others_are_claimed() {
    let fixture = Fixture::new().await;
    let bad = fixture.enqueue(&terms()).await;
    let good = fixture.enqueue(&terms()).await;
    fixture.raw("SET", &bad.short(), &["not a header"]);
    let jobs = fixture.claim(&WorkerId::generate(), 5).await;
    assert_eq!(jobs.iter().map(|job| &job.id).collect::<Vec<_>>(), [&good]);
    assert_eq!(fixture.state(&bad).await, JobState::Failed);
    assert_eq!(fixture.raw("GET", &bad.short(), &[]), "not a header", "the bytes stay");
    assert_eq!(fixture.store.queue(&fixture.queue).await.expect("a queue").queued, 0);
}

#[tokio::test]
async fn a_newer_job_waits_unchanged_in_newer() {
    let fixture = Fixture::new().await;
    let first = fixture.enqueue(&terms()).await;
    let newer = fixture.enqueue(&terms()).await;
    let payload = fixture.raw("GET", &newer.short(), &[]);
    // The header of the newer version has one field more.
    let changed = format!("2{}", payload[1..].replacen('\n', " new\n", 1));
    fixture.raw("SET", &newer.short(), &[&changed]);
    let last = fixture.enqueue(&terms()).await;
    let worker = WorkerId::generate();
    let jobs = fixture.claim(&worker, 5).await;
    assert_eq!(jobs.iter().map(|job| &job.id).collect::<Vec<_>>(), [&first, &last], "the others are claimed");
    assert_eq!(fixture.raw("GET", &newer.short(), &[]), changed, "untouched");
    assert_eq!(fixture.raw("ZRANGE", "newer", &["0", "-1", "WITHSCORES"]), format!("queued {newer}\n2"));
    let report = fixture.store.job(&newer).await.expect("a reply").expect("a job");
    assert_eq!((report.state, report.error.expect("a reason").code.as_str()), (JobState::Queued, "newer"));
    // A worker that can read the job claims it.
    fixture.raw("SET", &newer.short(), &[&payload]);
    fixture.sweep(&worker).await;
    assert_eq!(fixture.claim(&worker, 5).await.remove(0).id, newer);
}

/// As in a rolling deploy: several in a row.
#[tokio::test]
async fn after_several_newer_jobs_in_a_row_the_queue_is_left_to_newer_workers() {
    let fixture = Fixture::new().await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        let id = fixture.enqueue(&terms()).await;
        fixture.raw("SET", &id.short(), &["2 a future header\n{}"]);
        ids.push(id);
    }
    let readable = fixture.enqueue(&terms()).await;
    let worker = WorkerId::generate();
    let id = postroom_core::store::ClaimId::generate();
    let claim = postroom_core::store::Claim::new(&fixture.queue, &worker, &id, 5);
    for _ in 0..2 {
        let reply = fixture.store.claim(&claim).await.expect("a reply");
        assert_eq!(reply, ClaimReply::Newer { version: 2, job: ids[3].to_string() });
    }
    assert_eq!(fixture.raw("LLEN", "ready:5", &[]), "4", "in their order: {readable}");
    assert_eq!(fixture.raw("LINDEX", "ready:5", &["0"]), ids[3].to_string());
    assert_eq!(fixture.store.cancel(&ids[0], "person").await.expect("a reply"), CancelReply::Cancelled);
    assert_eq!(fixture.state(&ids[0]).await, JobState::Cancelled);
    // Once these jobs are cancelled, the job behind them can be claimed.
    for id in &ids[1..] {
        fixture.store.cancel(id, "person").await.expect("a reply");
    }
    let jobs = fixture.claim(&worker, 5).await;
    assert_eq!(jobs.iter().map(|job| &job.id).collect::<Vec<_>>(), [&readable]);
}

#[tokio::test]
async fn a_newer_scheduled_job_moves_to_newer_when_it_is_due() {
    let fixture = Fixture::new().await;
    let mut later = terms();
    later.due = Due::In(Duration::from_millis(1));
    let id = fixture.enqueue(&later).await;
    let payload = fixture.raw("GET", &id.short(), &[]);
    fixture.raw("SET", &id.short(), &["2 a future header\n{}"]);
    let start = redis_ms();
    eventually(LIMIT, "the due time", async || (redis_ms() > start + 1).then_some(())).await;
    fixture.sweep(&WorkerId::generate()).await;
    assert_eq!(fixture.raw("ZRANGE", "newer", &["0", "-1"]), format!("scheduled {id}"));
    assert_eq!(fixture.state(&id).await, JobState::Scheduled, "the state comes from the index");
    fixture.raw("SET", &id.short(), &[&payload]);
    fixture.sweep(&WorkerId::generate()).await;
    let queue = fixture.store.queue(&fixture.queue).await.expect("a queue");
    assert_eq!((queue.scheduled, queue.queued, fixture.raw("ZCARD", "newer", &[]).as_str()), (0, 1, "0"));
}

#[tokio::test]
async fn concurrent_prunes_of_a_cancelled_batch_skip_no_job() {
    let fixture = Fixture::new().await;
    let batch = fixture.create_batch().await;
    let mut later = terms();
    later.due = Due::In(Duration::from_secs(1_000));
    let jobs: Vec<NewJob> = (0..350).map(|i| NewJob { id: batch.job(i), mail: mail() }).collect();
    for chunk in jobs.chunks(100) {
        fixture.store.enqueue(&fixture.queue, Some(&batch), &later, chunk).await.expect("enqueued");
    }
    fixture.store.cancel_batch(&batch).await.expect("cancelled");
    let ttl = fixture.raw("PTTL", &format!("b:{batch}"), &[]);
    assert_eq!(ttl, "-1", "its record stays until its jobs are freed");
    let prune = async || fixture.store.prune(&fixture.queue).await.expect("pruned");
    for _ in 0..8 {
        tokio::join!(prune(), prune(), prune());
    }
    assert_eq!(fixture.raw("ZCARD", "scheduled:normal", &[]), "0", "every job is freed");
    assert_eq!(fixture.raw("ZCARD", "sweeping", &[]), "0");
    assert_ne!(fixture.raw("PTTL", &format!("b:{batch}"), &[]), "-1", "the record expires now");
    let report = fixture.store.batch(&batch).await.expect("a reply").expect("a batch");
    assert_eq!((report.cancelled, report.done), (350, true));
}

#[tokio::test]
async fn an_outage_leaves_one_line_in_the_history() {
    let fixture = Fixture::new().await;
    let id = fixture.enqueue(&terms()).await;
    let worker = WorkerId::generate();
    for n in 1..=20 {
        let job = fixture.claim(&worker, 1).await.remove(0);
        let record = AttemptRecord {
            n,
            counted: false,
            at_ms: i64::from(n),
            transport: "default".to_owned(),
            phase: Some("connect".to_owned()),
            code: None,
            enhanced: None,
            reply: "refused".to_owned(),
            verdict: "nothing_sent".to_owned(),
            ms: u64::from(n),
        };
        let settled = Settled { records: vec![record], ..Settled::default() };
        let item = Defer { id: id.clone(), fence: job.fence, delay: Duration::ZERO, left: settled };
        fixture.store.defer(&fixture.queue, &worker, &[item]).await.expect("deferred");
    }
    let report = fixture.store.job(&id).await.expect("a reply").expect("a job");
    assert_eq!(
        report.attempts.iter().map(|attempt| attempt.n).collect::<Vec<_>>(),
        [20],
        "the last of the equal lines"
    );
}

#[tokio::test]
async fn a_claim_examines_no_more_jobs_than_its_budget() {
    let fixture = Fixture::new().await;
    let batch = fixture.create_batch().await;
    for chunk in 0..5_u64 {
        let jobs: Vec<NewJob> = (0..100).map(|i| NewJob { id: batch.job(chunk * 100 + i), mail: mail() }).collect();
        fixture.store.enqueue(&fixture.queue, Some(&batch), &terms(), &jobs).await.expect("enqueued");
    }
    fixture.store.cancel_batch(&batch).await.expect("cancelled");
    let after = fixture.enqueue(&terms()).await;
    let worker = WorkerId::generate();
    assert!(fixture.claim(&worker, 10).await.is_empty(), "the first claim frees cancelled jobs");
    let found =
        eventually(LIMIT, "the mail behind the cancelled batch", async || fixture.claim(&worker, 10).await.pop()).await;
    assert_eq!(found.id, after);
}

#[tokio::test]
async fn a_stalled_redis_does_not_turn_live_leases_into_doubt() {
    let fixture = Fixture::new().await;
    let id = fixture.enqueue(&terms()).await;
    let worker = WorkerId::generate();
    let job = fixture.claim(&worker, 1).await.remove(0);
    fixture.begin(&worker, &job).await;
    // As after a minute without any call: the job's lease has expired, as have all others.
    fixture.raw("ZADD", "leases", &["1", &id.to_string()]);
    let last: i64 = fixture.raw("HGET", "n", &["last_ms"]).parse().expect("a time");
    fixture.raw("HSET", "n", &["last_ms", &(last - 60_000).to_string()]);
    let swept = fixture.sweep(&WorkerId::generate()).await;
    assert_eq!((swept.in_doubt, swept.rescued), (0, 0));
    assert_eq!(fixture.state(&id).await, JobState::Sending);
    // The grace period is over, and the worker has not renewed.
    fixture.raw("HSET", "n", &["no_rescue_before_ms", "0"]);
    let swept = fixture.sweep(&WorkerId::generate()).await;
    assert_eq!(swept.in_doubt, 1);
}

/// Time by Redis's clock.
fn redis_ms() -> i64 {
    let time = PrivateRedis::shared().ask(&["TIME"]);
    let numbers: Vec<i64> = time.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    numbers[0] * 1_000 + numbers[1] / 1_000
}

/// A finished job does not affect the others that are examined in the same call.
#[tokio::test]
async fn an_expired_job_does_not_block_the_jobs_behind_it() {
    let fixture = Fixture::new().await;
    let mut over = terms();
    over.expires = Some(Expiry::At(1));
    let gone = JobId::new(fixture.queue.clone());
    fixture.enqueue_as(&gone, None, &over).await;
    let live = [(); 3].map(|()| JobId::new(fixture.queue.clone()));
    for id in &live {
        fixture.enqueue_as(id, None, &terms()).await;
    }
    let claimed = fixture.claim(&WorkerId::generate(), 10).await;
    assert_eq!(claimed.iter().map(|job| &job.id).collect::<Vec<_>>(), live.iter().collect::<Vec<_>>());
}

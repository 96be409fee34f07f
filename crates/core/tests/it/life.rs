//! Single steps in a job's life that the model does not tell apart.

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
async fn the_story_of_a_job_is_told_whole() {
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
    let left = Settled {
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
    let item = Defer { id: id.clone(), fence: job.fence, delay: Duration::from_millis(1), left };
    fixture.store.defer(&fixture.queue, &worker, &[item]).await.expect("deferred");

    let again = eventually(LIMIT, "the second claim", async || fixture.claim(&worker, 1).await.pop()).await;
    assert_eq!((again.attempt, again.tries, again.fence), (1, 1, 2));
    assert_eq!(again.message_id.as_deref(), Some("message@example.org"));
    assert_eq!(again.date_ms, Some(1_700_000_000_000));
    assert_eq!(again.recipients.len(), 1);
    fixture.begin(&worker, &again).await;
    fixture.finish(&worker, &again, Outcome::Sent).await;

    let report = fixture.store.job(&id).await.expect("an answer").expect("a job");
    assert_eq!(report.state, JobState::Sent);
    assert_eq!(report.attempts.len(), 1);
    assert_eq!(report.attempts[0].reply, "451 4.7.1 later, \"please\"\nŻ");
    assert_eq!(report.attempts[0].at(), "2023-11-14T22:13:20.000Z");
    assert_eq!(report.error, None, "a sent mail has no error");
}

#[tokio::test]
async fn without_a_result_only_a_tombstone_is_kept() {
    let fixture = Fixture::new().await;
    let mut terms = terms();
    terms.policy.retention = None;
    let id = fixture.enqueue(&terms).await;
    let worker = WorkerId::generate();
    let job = fixture.claim(&worker, 1).await.remove(0);
    fixture.begin(&worker, &job).await;
    fixture.finish(&worker, &job, Outcome::Sent).await;
    assert_eq!(fixture.raw("EXISTS", &id.short(), &[]), "0", "the content is gone");
    let ttl: i64 = fixture.raw("PTTL", &format!("h:{}", id.short()), &[]).parse().expect("a number");
    assert!((80_000_000..=86_400_000).contains(&ttl), "{ttl}");
    assert_eq!(fixture.state(&id).await, JobState::Sent);
    let said_again = NewJob { id, mail: mail() };
    let done = fixture.store.enqueue(&fixture.queue, None, &terms, &[said_again]).await.expect("an answer");
    assert_eq!((done.added, done.known), (0, 1), "the tombstone keeps it from being sent again");
}

#[tokio::test]
async fn sensitive_variables_go_when_the_job_ends() {
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
    assert_eq!(mail.vars["token"], "s3cret", "the worker needs them");
    fixture.begin(&worker, &claimed).await;
    fixture.finish(&worker, &claimed, Outcome::Failed).await;
    assert!(!fixture.raw("GET", &id.short(), &[]).contains("s3cret"));
    let report = fixture.store.job(&id).await.expect("an answer").expect("a job");
    assert_eq!(report.to.len(), 1, "the rest of the story stays");
    let retried = fixture.store.retry(&id).await.expect("an answer");
    assert!(matches!(retried, RetryReply::Refused { .. }), "{retried:?}");
}

#[tokio::test]
async fn an_expired_mail_reads_as_cancelled_even_when_nobody_sweeps() {
    let fixture = Fixture::new().await;
    let mut terms = terms();
    terms.expires = Some(Expiry::In(Duration::from_millis(1)));
    let id = fixture.enqueue(&terms).await;
    let report = eventually(LIMIT, "the expiry", async || {
        fixture.store.job(&id).await.expect("an answer").filter(|job| job.state == JobState::Cancelled)
    })
    .await;
    assert_eq!(report.reason.as_deref(), Some("expired"));
    assert!(fixture.claim(&WorkerId::generate(), 1).await.is_empty());
}

#[tokio::test]
async fn too_old_a_mail_is_given_up() {
    let fixture = Fixture::new().await;
    let mut terms = terms();
    terms.policy.max_age = Duration::from_millis(1);
    let id = fixture.enqueue(&terms).await;
    let start = redis_ms();
    eventually(LIMIT, "the next millisecond but one", async || (redis_ms() > start + 1).then_some(())).await;
    assert!(fixture.claim(&WorkerId::generate(), 1).await.is_empty());
    assert_eq!(fixture.state(&id).await, JobState::Failed);
    let report = fixture.store.job(&id).await.expect("an answer").expect("a job");
    assert_eq!(report.reason.as_deref(), Some("too_old"));
}

#[tokio::test]
async fn a_scheduled_mail_waits_for_its_time() {
    let fixture = Fixture::new().await;
    let mut terms = terms();
    terms.due = Due::In(Duration::from_millis(300));
    let id = fixture.enqueue(&terms).await;
    assert_eq!(fixture.state(&id).await, JobState::Scheduled);
    let report = fixture.store.job(&id).await.expect("an answer").expect("a job");
    let worker = WorkerId::generate();
    let claimed = eventually(LIMIT, "its time", async || fixture.claim(&worker, 1).await.pop()).await;
    assert_eq!(claimed.id, id);
    let (header, _) = claimed.content.expect("content");
    assert_eq!(header.due_ms - header.enqueued_ms, 300);
    assert!(redis_ms() >= header.due_ms, "not before its time");
    assert!(report.due_at > report.enqueued_at);
}

#[tokio::test]
async fn the_bell_rings_for_new_mail_and_for_an_earlier_due_time() {
    let fixture = Fixture::new().await;
    let mut bell = WakeListener::new(&fixture.store, std::slice::from_ref(&fixture.queue));
    assert!(!bell.wait(Duration::from_millis(20)).await.expect("an answer"), "nothing to do");
    fixture.enqueue(&terms()).await;
    assert!(bell.wait(LIMIT).await.expect("an answer"));
    assert!(!bell.wait(Duration::from_millis(20)).await.expect("an answer"), "one token");
    let mut later = terms();
    later.due = Due::In(Duration::from_secs(100));
    fixture.enqueue(&later).await;
    assert!(bell.wait(LIMIT).await.expect("an answer"), "the first of its class");
    later.due = Due::In(Duration::from_secs(200));
    fixture.enqueue(&later).await;
    assert!(!bell.wait(Duration::from_millis(20)).await.expect("an answer"), "later than what is known");
    later.due = Due::In(Duration::from_secs(50));
    fixture.enqueue(&later).await;
    assert!(bell.wait(LIMIT).await.expect("an answer"), "earlier than what is known");
}

#[tokio::test]
async fn an_idempotency_key_keeps_its_place() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let first = store.reserve("order-7", "emails-1", "abc").await.expect("reserved");
    assert_eq!(first, KeyReservation::New("emails-1".to_owned()));
    let again = store.reserve("order-7", "emails-2", "abc").await.expect("known");
    assert_eq!(again, KeyReservation::Known("emails-1".to_owned()));
    let other = store.reserve("order-7", "emails-3", "xyz").await;
    assert!(matches!(other, Err(Error::Conflict(_))), "{other:?}");
}

#[tokio::test]
async fn an_unreadable_job_is_set_aside_and_the_rest_goes_on() {
    let fixture = Fixture::new().await;
    let bad = fixture.enqueue(&terms()).await;
    let good = fixture.enqueue(&terms()).await;
    fixture.raw("SET", &bad.short(), &["no header at all"]);
    let jobs = fixture.claim(&WorkerId::generate(), 5).await;
    assert_eq!(jobs.iter().map(|job| &job.id).collect::<Vec<_>>(), [&good]);
    assert_eq!(fixture.state(&bad).await, JobState::Failed);
    assert_eq!(fixture.raw("GET", &bad.short(), &[]), "no header at all", "its bytes are kept");
    assert_eq!(fixture.store.queue(&fixture.queue).await.expect("a queue").queued, 0);
}

#[tokio::test]
async fn a_newer_job_waits_apart_untouched() {
    let fixture = Fixture::new().await;
    let first = fixture.enqueue(&terms()).await;
    let newer = fixture.enqueue(&terms()).await;
    let payload = fixture.raw("GET", &newer.short(), &[]);
    // Its header has a field more.
    let changed = format!("2{}", payload[1..].replacen('\n', " new\n", 1));
    fixture.raw("SET", &newer.short(), &[&changed]);
    let last = fixture.enqueue(&terms()).await;
    let worker = WorkerId::generate();
    let jobs = fixture.claim(&worker, 5).await;
    assert_eq!(jobs.iter().map(|job| &job.id).collect::<Vec<_>>(), [&first, &last], "the others are handed out");
    assert_eq!(fixture.raw("GET", &newer.short(), &[]), changed, "untouched");
    assert_eq!(fixture.raw("ZRANGE", "newer", &["0", "-1", "WITHSCORES"]), format!("queued {newer}\n2"));
    let report = fixture.store.job(&newer).await.expect("an answer").expect("a job");
    assert_eq!((report.state, report.error.expect("a reason").code.as_str()), (JobState::Queued, "newer"));
    // One who can read it takes it.
    fixture.raw("SET", &newer.short(), &[&payload]);
    fixture.sweep(&worker).await;
    assert_eq!(fixture.claim(&worker, 5).await.remove(0).id, newer);
}

/// As in a rolling deploy: one in a row after the other.
#[tokio::test]
async fn after_several_newer_jobs_in_a_row_the_queue_is_left_to_newer_workers() {
    let fixture = Fixture::new().await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        let id = fixture.enqueue(&terms()).await;
        fixture.raw("SET", &id.short(), &["2 what nobody knows yet\n{}"]);
        ids.push(id);
    }
    let readable = fixture.enqueue(&terms()).await;
    let worker = WorkerId::generate();
    let id = postroom_core::store::ClaimId::generate();
    let claim = postroom_core::store::Claim::new(&fixture.queue, &worker, &id, 5);
    for _ in 0..2 {
        let reply = fixture.store.claim(&claim).await.expect("an answer");
        assert_eq!(reply, ClaimReply::Newer { version: 2, job: ids[3].to_string() });
    }
    assert_eq!(fixture.raw("LLEN", "ready:5", &[]), "4", "in their order: {readable}");
    assert_eq!(fixture.raw("LINDEX", "ready:5", &["0"]), ids[3].to_string());
    assert_eq!(fixture.store.cancel(&ids[0], "person").await.expect("an answer"), CancelReply::Cancelled);
    assert_eq!(fixture.state(&ids[0]).await, JobState::Cancelled);
    // Once all of them are cancelled, nothing is in the way of the one behind them.
    for id in &ids[1..] {
        fixture.store.cancel(id, "person").await.expect("an answer");
    }
    let jobs = fixture.claim(&worker, 5).await;
    assert_eq!(jobs.iter().map(|job| &job.id).collect::<Vec<_>>(), [&readable]);
}

#[tokio::test]
async fn a_newer_scheduled_job_waits_apart_when_it_is_due() {
    let fixture = Fixture::new().await;
    let mut later = terms();
    later.due = Due::In(Duration::from_millis(1));
    let id = fixture.enqueue(&later).await;
    let payload = fixture.raw("GET", &id.short(), &[]);
    fixture.raw("SET", &id.short(), &["2 what nobody knows yet\n{}"]);
    let start = redis_ms();
    eventually(LIMIT, "its time", async || (redis_ms() > start + 1).then_some(())).await;
    fixture.sweep(&WorkerId::generate()).await;
    assert_eq!(fixture.raw("ZRANGE", "newer", &["0", "-1"]), format!("scheduled {id}"));
    assert_eq!(fixture.state(&id).await, JobState::Scheduled, "nobody but a newer worker knows more");
    fixture.raw("SET", &id.short(), &[&payload]);
    fixture.sweep(&WorkerId::generate()).await;
    let queue = fixture.store.queue(&fixture.queue).await.expect("a queue");
    assert_eq!((queue.scheduled, queue.queued, fixture.raw("ZCARD", "newer", &[]).as_str()), (0, 1, "0"));
}

#[tokio::test]
async fn two_that_sweep_a_cancelled_batch_skip_nothing() {
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
    assert_ne!(fixture.raw("PTTL", &format!("b:{batch}"), &[]), "-1", "now its record may go");
    let report = fixture.store.batch(&batch).await.expect("an answer").expect("a batch");
    assert_eq!((report.cancelled, report.done), (350, true));
}

#[tokio::test]
async fn an_outage_is_not_told_a_thousand_times() {
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
        let left = Settled { records: vec![record], ..Settled::default() };
        let item = Defer { id: id.clone(), fence: job.fence, delay: Duration::ZERO, left };
        fixture.store.defer(&fixture.queue, &worker, &[item]).await.expect("deferred");
    }
    let report = fixture.store.job(&id).await.expect("an answer").expect("a job");
    assert_eq!(report.attempts.iter().map(|attempt| attempt.n).collect::<Vec<_>>(), [20], "the last of the same");
}

#[tokio::test]
async fn no_claim_looks_at_more_than_its_budget() {
    let fixture = Fixture::new().await;
    let batch = fixture.create_batch().await;
    for chunk in 0..5_u64 {
        let jobs: Vec<NewJob> = (0..100).map(|i| NewJob { id: batch.job(chunk * 100 + i), mail: mail() }).collect();
        fixture.store.enqueue(&fixture.queue, Some(&batch), &terms(), &jobs).await.expect("enqueued");
    }
    fixture.store.cancel_batch(&batch).await.expect("cancelled");
    let after = fixture.enqueue(&terms()).await;
    let worker = WorkerId::generate();
    assert!(fixture.claim(&worker, 10).await.is_empty(), "the first claim is busy with what was cancelled");
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
    // As if nobody had been heard for a minute: the lease has run out, but so has everybody's.
    fixture.raw("ZADD", "leases", &["1", &id.to_string()]);
    let last: i64 = fixture.raw("HGET", "n", &["last_ms"]).parse().expect("a time");
    fixture.raw("HSET", "n", &["last_ms", &(last - 60_000).to_string()]);
    let swept = fixture.sweep(&WorkerId::generate()).await;
    assert_eq!((swept.in_doubt, swept.rescued), (0, 0));
    assert_eq!(fixture.state(&id).await, JobState::Sending);
    // The grace is over and the worker has not renewed.
    fixture.raw("HSET", "n", &["no_rescue_before_ms", "0"]);
    let swept = fixture.sweep(&WorkerId::generate()).await;
    assert_eq!(swept.in_doubt, 1);
}

/// Redis's clock.
fn redis_ms() -> i64 {
    let time = PrivateRedis::shared().ask(&["TIME"]);
    let numbers: Vec<i64> = time.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    numbers[0] * 1_000 + numbers[1] / 1_000
}

/// One that is over leaves the others that were looked at with it as they are.
#[tokio::test]
async fn what_is_over_keeps_nobody_behind_it_from_being_claimed() {
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

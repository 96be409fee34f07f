//! Short forms of jobs: rows that refer to their batch's terms, and sent records.

use std::time::Duration;

use postroom_core::{
    BatchId, JobId, JobReport, JobState, RecipientResult,
    store::{
        Begin, BeginReply, Claimed, Due, Expiry, Finish, FinishReply, JobTerms, NewBatch, NewJob, Outcome, Settled,
        WorkerId,
    },
};

use postroom_testkit::PrivateRedis;

use crate::fixture::{Fixture, accepted, mail, terms};

/// Claims the next job, begins it under the usual Message-ID, and finishes it.
async fn send(fixture: &Fixture, worker: &WorkerId, settled: Settled) -> Claimed {
    let job = fixture.claim(worker, 1).await.remove(0);
    let mark = Begin {
        id: job.id.clone(),
        fence: job.fence,
        message_id: format!("{}@example.org", job.id),
        date_ms: 1_700_000_000_000,
    };
    fixture.store.begin(&fixture.queue, worker, &[mark]).await.expect("a reply");
    assert_eq!(finish(fixture, worker, &job, settled).await, FinishReply::Finished);
    job
}

async fn finish(fixture: &Fixture, worker: &WorkerId, job: &Claimed, settled: Settled) -> FinishReply {
    fixture.finish_all(worker, std::slice::from_ref(job), Outcome::Sent, &settled).await[0]
}

async fn report(fixture: &Fixture, id: &JobId) -> JobReport {
    fixture.store.job(id).await.expect("a reply").expect("a job")
}

/// Compares a job's report with that of its sent record, except for the time of sending.
fn check(reported: &JobReport, before: &JobReport) {
    assert_eq!(reported.state, JobState::Sent);
    assert_eq!(
        (reported.priority, &reported.batch, reported.max_attempts),
        (before.priority, &before.batch, before.max_attempts)
    );
    assert_eq!((&reported.to, &reported.mail, &reported.template), (&before.to, &before.mail, &before.template));
    assert_eq!(
        (&reported.enqueued_at, &reported.due_at, &reported.expires_at),
        (&before.enqueued_at, &before.due_at, &before.expires_at)
    );
    assert_eq!((reported.attempt, &reported.receipt), (1, &accepted().receipt));
    assert_eq!(reported.message_id, Some(format!("{}@example.org", reported.id)));
    assert_eq!(reported.recipients, accepted().recipients);
    assert_eq!(
        reported.attempts.iter().map(|attempt| attempt.reply.as_str()).collect::<Vec<_>>(),
        ["250 2.0.0 Ok: queued as 4bX"]
    );
    assert!(reported.finished_at > reported.enqueued_at);
    assert_eq!((&reported.reason, &reported.error), (&None, &None));
}

#[tokio::test]
async fn a_sent_job_is_one_string_with_all_fields() {
    let fixture = Fixture::new().await;
    let mut terms = terms();
    terms.expires = Some(Expiry::In(Duration::from_secs(1_000)));
    let id = fixture.enqueue(&terms).await;
    let before = report(&fixture, &id).await;
    send(&fixture, &WorkerId::generate(), accepted()).await;
    assert_eq!(fixture.raw("EXISTS", &format!("h:{}", id.short()), &[]), "0");
    let kept = fixture.raw("GET", &id.short(), &[]);
    assert!(kept.len() < 200, "{kept}");
    check(&report(&fixture, &id).await, &before);
    let repeated = NewJob { id, mail: mail() };
    let done = fixture.store.enqueue(&fixture.queue, None, &terms, &[repeated]).await.expect("a reply");
    assert_eq!((done.added, done.known), (0, 1));
}

#[tokio::test]
async fn a_sent_record_is_split_to_add_unusual_fields() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let id = fixture.enqueue(&terms()).await;
    let before = report(&fixture, &id).await;
    let job = send(&fixture, &ann, accepted()).await;
    assert_eq!(finish(&fixture, &ann, &job, accepted()).await, FinishReply::Finished, "repeated");
    check(&report(&fixture, &id).await, &before);
    assert_eq!(finish(&fixture, &ben, &job, accepted()).await, FinishReply::Twice, "another worker has sent it");
    let reported = report(&fixture, &id).await;
    assert_eq!((reported.state, reported.attempts.len(), reported.recipients.len()), (JobState::Sent, 2, 1));
    assert_eq!(fixture.times_sent(&id), 1);
}

#[tokio::test]
async fn recipients_that_did_not_accept_are_recorded() {
    let fixture = Fixture::new().await;
    let id = fixture.enqueue(&terms()).await;
    let mut settled = accepted();
    settled.recipients[0].result = RecipientResult::Refused;
    settled.recipients[0].reply = Some("550 no".to_owned());
    send(&fixture, &WorkerId::generate(), settled.clone()).await;
    let reported = report(&fixture, &id).await;
    assert_eq!((reported.state, &reported.recipients), (JobState::Sent, &settled.recipients));
}

#[tokio::test]
async fn sent_jobs_are_freed_by_the_hour() {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(fixture.enqueue(&terms()).await);
        send(&fixture, &worker, accepted()).await;
    }
    fixture.store.prune(&fixture.queue).await.expect("pruned");
    assert_eq!(report(&fixture, &ids[0]).await.state, JobState::Sent, "the retention is not over");
    for hour in fixture.raw("ZRANGE", "sent", &["0", "-1"]).lines() {
        fixture.raw("ZADD", "sent", &["XX", "1", hour]);
    }
    while fixture.store.prune(&fixture.queue).await.expect("pruned") {}
    for id in &ids {
        assert_eq!(fixture.store.job(id).await.expect("a reply"), None);
        assert_eq!(fixture.times_sent(id), 0);
    }
    assert_eq!(fixture.raw("EXISTS", "sent", &[]), "0");
}

async fn batch(fixture: &Fixture) -> BatchId {
    let id = BatchId::new(fixture.queue.clone());
    let retention = terms().policy.retention;
    let batch = NewBatch { id: id.clone(), name: "news".to_owned(), retention, shared: mail(), pace: None };
    fixture.store.create_batch(&batch).await.expect("created");
    id
}

async fn add(fixture: &Fixture, batch: &BatchId, index: u64, terms: &JobTerms) -> JobId {
    fixture.enqueue_as(&batch.job(index), Some(batch), terms).await;
    batch.job(index)
}

#[tokio::test]
async fn a_row_has_the_terms_it_was_enqueued_with() {
    let fixture = Fixture::new().await;
    let batch = batch(&fixture).await;
    let mut later = terms();
    later.due = Due::In(Duration::from_secs(100));
    later.expires = Some(Expiry::In(Duration::from_secs(200)));
    let shared = [add(&fixture, &batch, 0, &later).await, add(&fixture, &batch, 1, &later).await];
    let mut own = terms();
    own.policy.attempts = 2;
    let own = add(&fixture, &batch, 2, &own).await;
    for id in &shared {
        let payload = fixture.raw("GET", &id.short(), &[]);
        assert!(payload.starts_with("1 @"), "{payload}");
        let reported = report(&fixture, id).await;
        let ms = |time: &Option<String>| {
            chrono::DateTime::parse_from_rfc3339(time.as_deref().expect("a time")).expect("RFC 3339").timestamp_millis()
        };
        assert_eq!(ms(&reported.due_at) - ms(&reported.enqueued_at), 100_000);
        assert_eq!(ms(&reported.expires_at) - ms(&reported.enqueued_at), 200_000);
        assert_eq!((reported.state, reported.batch), (JobState::Scheduled, Some(batch.to_string())));
    }
    let reported = report(&fixture, &own).await;
    assert_eq!((reported.state, reported.max_attempts), (JobState::Queued, Some(2)));
    let claimed = fixture.claim(&WorkerId::generate(), 1).await.remove(0);
    assert_eq!(claimed.content.expect("content").0.policy.attempts, 2);
}

#[tokio::test]
async fn a_sent_row_is_one_string_with_all_fields() {
    let fixture = Fixture::new().await;
    let batch = batch(&fixture).await;
    let id = add(&fixture, &batch, 0, &terms()).await;
    let before = report(&fixture, &id).await;
    let claimed = send(&fixture, &WorkerId::generate(), accepted()).await;
    assert!(claimed.payload.contains(&batch.to_string()), "the worker gets the full header: {}", claimed.payload);
    let kept = fixture.raw("GET", &id.short(), &[]);
    assert!(kept.contains(&format!(" @{}", &batch.to_string()[batch.to_string().len() - 10..])), "{kept}");
    check(&report(&fixture, &id).await, &before);
}

#[tokio::test]
async fn only_the_holder_begins_and_finishes_a_row() {
    let fixture = Fixture::new().await;
    let batch = batch(&fixture).await;
    let id = add(&fixture, &batch, 0, &terms()).await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let job = fixture.claim(&ann, 1).await.remove(0);
    // As after a restart of Redis that lost its last second of writes: two workers with the same
    // fence.
    assert_eq!(fixture.begin(&ben, &job).await, BeginReply::Lost);
    assert_eq!(fixture.begin(&ann, &job).await, BeginReply::Begun);
    let reported = fixture.finish_all(&ben, std::slice::from_ref(&job), Outcome::Sent, &accepted()).await;
    assert_eq!((reported[0], fixture.state(&id).await), (FinishReply::Twice, JobState::Sending));
    let twice = [job.clone(), job];
    let reported = fixture.finish_all(&ann, &twice, Outcome::Sent, &accepted()).await;
    assert_eq!(reported, [FinishReply::Finished; 2], "the call names the job twice");
    assert_eq!(report(&fixture, &id).await.attempts.len(), 2, "one line from each worker");
    let reported = fixture.store.batch(&batch).await.expect("a reply").expect("a batch");
    assert_eq!((reported.sending, reported.sent), (0, 1));
}

#[tokio::test]
async fn begin_renews_the_lease_of_a_row() {
    let fixture = Fixture::new().await;
    let batch = batch(&fixture).await;
    let id = add(&fixture, &batch, 0, &terms()).await;
    let ann = WorkerId::generate();
    let job = fixture.claim(&ann, 1).await.remove(0);
    fixture.raw("ZADD", "leases", &["XX", "1", &id.to_string()]);
    assert_eq!(fixture.begin(&ann, &job).await, BeginReply::Begun);
    let until: i64 = fixture.raw("ZSCORE", "leases", &[&id.to_string()]).trim().parse().expect("a time");
    let lease = i64::try_from(terms().policy.lease.as_millis()).expect("milliseconds");
    let time = PrivateRedis::shared().ask(&["TIME"]);
    let now = time.lines().next().expect("seconds").parse::<i64>().expect("seconds") * 1000 + 1000;
    assert!(until > now - 1000 && until <= now + lease, "{until}, now {now}");
}

#[tokio::test]
async fn sent_jobs_are_counted_when_another_record_is_damaged() {
    let fixture = Fixture::new().await;
    let batch = batch(&fixture).await;
    for index in 0..2 {
        add(&fixture, &batch, index, &terms()).await;
    }
    let ann = WorkerId::generate();
    let jobs = fixture.claim(&ann, 2).await;
    fixture.begin_all(&ann, &jobs).await;
    fixture.raw("DEL", &format!("f:{}", jobs[1].id.short()), &[]);
    fixture.raw("SET", &format!("h:{}", jobs[1].id.short()), &["not a hash"]);
    let items = [&jobs[0], &jobs[0], &jobs[1]]
        .map(|job| Finish::new(&job.id, job.fence, Outcome::Sent, "", &accepted()).expect("a finish"));
    let replies = fixture.store.finish(&fixture.queue, &ann, &items).await.expect("a reply");
    assert_eq!(replies, [FinishReply::Finished; 3], "the record of the second is damaged");
    let reported = fixture.store.batch(&batch).await.expect("a reply").expect("a batch");
    assert_eq!((reported.sending, reported.sent), (0, 2));
    let second = report(&fixture, &jobs[1].id).await;
    assert_eq!((second.state, second.reason.as_deref()), (JobState::Sent, Some("unreadable")));
}

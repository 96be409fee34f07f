//! What little is kept of a job: a row that names its batch's terms, what was sent as one string.

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

/// Claims the next job, begins it under the usual Message-ID, and says what came of it.
async fn send(fixture: &Fixture, worker: &WorkerId, left: Settled) -> Claimed {
    let job = fixture.claim(worker, 1).await.remove(0);
    let mark = Begin {
        id: job.id.clone(),
        fence: job.fence,
        message_id: format!("{}@example.org", job.id),
        date_ms: 1_700_000_000_000,
    };
    fixture.store.begin(&fixture.queue, worker, &[mark]).await.expect("an answer");
    assert_eq!(finish(fixture, worker, &job, left).await, FinishReply::Finished);
    job
}

async fn finish(fixture: &Fixture, worker: &WorkerId, job: &Claimed, left: Settled) -> FinishReply {
    fixture.finish_all(worker, std::slice::from_ref(job), Outcome::Sent, &left).await[0]
}

async fn report(fixture: &Fixture, id: &JobId) -> JobReport {
    fixture.store.job(id).await.expect("an answer").expect("a job")
}

/// What a person is told of it, but for when it was sent.
fn check(told: &JobReport, before: &JobReport) {
    assert_eq!(told.state, JobState::Sent);
    assert_eq!((told.priority, &told.batch, told.max_attempts), (before.priority, &before.batch, before.max_attempts));
    assert_eq!((&told.to, &told.mail, &told.template), (&before.to, &before.mail, &before.template));
    assert_eq!(
        (&told.enqueued_at, &told.due_at, &told.expires_at),
        (&before.enqueued_at, &before.due_at, &before.expires_at)
    );
    assert_eq!((told.attempt, &told.receipt), (1, &accepted().receipt));
    assert_eq!(told.message_id, Some(format!("{}@example.org", told.id)));
    assert_eq!(told.recipients, accepted().recipients);
    assert_eq!(
        told.attempts.iter().map(|attempt| attempt.reply.as_str()).collect::<Vec<_>>(),
        ["250 2.0.0 Ok: queued as 4bX"]
    );
    assert!(told.finished_at > told.enqueued_at);
    assert_eq!((&told.reason, &told.error), (&None, &None));
}

#[tokio::test]
async fn what_was_sent_is_one_string_and_tells_all() {
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
    let said_again = NewJob { id, mail: mail() };
    let done = fixture.store.enqueue(&fixture.queue, None, &terms, &[said_again]).await.expect("an answer");
    assert_eq!((done.added, done.known), (0, 1));
}

#[tokio::test]
async fn what_is_kept_is_taken_apart_when_more_comes_to_light() {
    let fixture = Fixture::new().await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let id = fixture.enqueue(&terms()).await;
    let before = report(&fixture, &id).await;
    let job = send(&fixture, &ann, accepted()).await;
    assert_eq!(finish(&fixture, &ann, &job, accepted()).await, FinishReply::Finished, "said again");
    check(&report(&fixture, &id).await, &before);
    assert_eq!(finish(&fixture, &ben, &job, accepted()).await, FinishReply::Twice, "somebody else had sent it");
    let told = report(&fixture, &id).await;
    assert_eq!((told.state, told.attempts.len(), told.recipients.len()), (JobState::Sent, 2, 1));
    assert_eq!(fixture.times_sent(&id), 1);
}

#[tokio::test]
async fn who_did_not_accept_it_is_told() {
    let fixture = Fixture::new().await;
    let id = fixture.enqueue(&terms()).await;
    let mut left = accepted();
    left.recipients[0].result = RecipientResult::Refused;
    left.recipients[0].reply = Some("550 no".to_owned());
    send(&fixture, &WorkerId::generate(), left.clone()).await;
    let told = report(&fixture, &id).await;
    assert_eq!((told.state, &told.recipients), (JobState::Sent, &left.recipients));
}

#[tokio::test]
async fn what_was_sent_is_let_go_by_the_hour() {
    let fixture = Fixture::new().await;
    let worker = WorkerId::generate();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(fixture.enqueue(&terms()).await);
        send(&fixture, &worker, accepted()).await;
    }
    fixture.store.prune(&fixture.queue).await.expect("pruned");
    assert_eq!(report(&fixture, &ids[0]).await.state, JobState::Sent, "its time is not over");
    for hour in fixture.raw("ZRANGE", "sent", &["0", "-1"]).lines() {
        fixture.raw("ZADD", "sent", &["XX", "1", hour]);
    }
    while fixture.store.prune(&fixture.queue).await.expect("pruned") {}
    for id in &ids {
        assert_eq!(fixture.store.job(id).await.expect("an answer"), None);
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
async fn a_row_is_promised_what_it_was_put_in_with() {
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
        let told = report(&fixture, id).await;
        let ms = |time: &Option<String>| {
            chrono::DateTime::parse_from_rfc3339(time.as_deref().expect("a time")).expect("RFC 3339").timestamp_millis()
        };
        assert_eq!(ms(&told.due_at) - ms(&told.enqueued_at), 100_000);
        assert_eq!(ms(&told.expires_at) - ms(&told.enqueued_at), 200_000);
        assert_eq!((told.state, told.batch), (JobState::Scheduled, Some(batch.to_string())));
    }
    let told = report(&fixture, &own).await;
    assert_eq!((told.state, told.max_attempts), (JobState::Queued, Some(2)));
    let claimed = fixture.claim(&WorkerId::generate(), 1).await.remove(0);
    assert_eq!(claimed.content.expect("content").0.policy.attempts, 2);
}

#[tokio::test]
async fn a_row_that_was_sent_is_one_string_and_tells_all() {
    let fixture = Fixture::new().await;
    let batch = batch(&fixture).await;
    let id = add(&fixture, &batch, 0, &terms()).await;
    let before = report(&fixture, &id).await;
    let claimed = send(&fixture, &WorkerId::generate(), accepted()).await;
    assert!(claimed.payload.contains(&batch.to_string()), "the worker has its header in full: {}", claimed.payload);
    let kept = fixture.raw("GET", &id.short(), &[]);
    assert!(kept.contains(&format!(" @{}", &batch.to_string()[batch.to_string().len() - 10..])), "{kept}");
    check(&report(&fixture, &id).await, &before);
}

#[tokio::test]
async fn who_does_not_hold_a_row_neither_begins_nor_ends_it() {
    let fixture = Fixture::new().await;
    let batch = batch(&fixture).await;
    let id = add(&fixture, &batch, 0, &terms()).await;
    let (ann, ben) = (WorkerId::generate(), WorkerId::generate());
    let job = fixture.claim(&ann, 1).await.remove(0);
    // As after a restart of Redis that lost its last second: the same fence in two hands.
    assert_eq!(fixture.begin(&ben, &job).await, BeginReply::Lost);
    assert_eq!(fixture.begin(&ann, &job).await, BeginReply::Begun);
    let told = fixture.finish_all(&ben, std::slice::from_ref(&job), Outcome::Sent, &accepted()).await;
    assert_eq!((told[0], fixture.state(&id).await), (FinishReply::Twice, JobState::Sending));
    let again = [job.clone(), job];
    let told = fixture.finish_all(&ann, &again, Outcome::Sent, &accepted()).await;
    assert_eq!(told, [FinishReply::Finished; 2], "said twice at once");
    assert_eq!(report(&fixture, &id).await.attempts.len(), 2, "what the other one told, and its own");
    let told = fixture.store.batch(&batch).await.expect("an answer").expect("a batch");
    assert_eq!((told.sending, told.sent), (0, 1));
}

#[tokio::test]
async fn the_mark_renews_the_lease_of_a_row() {
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
async fn what_was_sent_is_counted_whatever_becomes_of_the_others() {
    let fixture = Fixture::new().await;
    let batch = batch(&fixture).await;
    for index in 0..2 {
        add(&fixture, &batch, index, &terms()).await;
    }
    let ann = WorkerId::generate();
    let jobs = fixture.claim(&ann, 2).await;
    fixture.begin_all(&ann, &jobs).await;
    fixture.raw("DEL", &format!("f:{}", jobs[1].id.short()), &[]);
    fixture.raw("SET", &format!("h:{}", jobs[1].id.short()), &["no hash"]);
    let said = [&jobs[0], &jobs[0], &jobs[1]]
        .map(|job| Finish::new(&job.id, job.fence, Outcome::Sent, "", &accepted()).expect("a statement"));
    let replies = fixture.store.finish(&fixture.queue, &ann, &said).await.expect("an answer");
    assert_eq!(replies, [FinishReply::Finished; 3], "the record of the second is damaged");
    let told = fixture.store.batch(&batch).await.expect("an answer").expect("a batch");
    assert_eq!((told.sending, told.sent), (0, 2));
    let second = report(&fixture, &jobs[1].id).await;
    assert_eq!((second.state, second.reason.as_deref()), (JobState::Sent, Some("unreadable")));
}

//! Lists, pages, counters.

use std::collections::BTreeSet;

use postroom_core::{
    JobId, JobState, Priority, QueueName,
    store::{JobFilter, NewJob, Outcome, WorkerId},
};

use postroom_testkit::PrivateRedis;

use crate::fixture::{Fixture, mail, terms};

#[tokio::test]
async fn jobs_are_found_page_by_page() {
    let fixture = Fixture::new().await;
    let mut ids = BTreeSet::new();
    for priority in [1, 5, 9] {
        let mut terms = terms();
        terms.priority = Priority::try_from(priority).expect("a priority");
        for _ in 0..50 {
            ids.insert(fixture.enqueue(&terms).await);
        }
    }
    let filter = JobFilter { state: Some(JobState::Queued), ..JobFilter::default() };
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = fixture.store.find_jobs(&filter, cursor.as_deref(), 40).await.expect("a page");
        found.extend(page.jobs.into_iter().map(|job| job.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 150, "no job is listed twice");
    assert_eq!(found.into_iter().collect::<BTreeSet<JobId>>(), ids);
}

#[tokio::test]
async fn jobs_are_found_by_address_and_state() {
    let fixture = Fixture::new().await;
    let id = fixture.enqueue(&terms()).await;
    let other = JobId::new(fixture.queue.clone());
    let mut bob = mail();
    bob.to = vec!["Bob <bob@example.org>".parse().expect("a mailbox")];
    let job = NewJob { id: other.clone(), mail: bob };
    fixture.store.enqueue(&fixture.queue, None, &terms(), &[job]).await.expect("enqueued");
    let find = async |filter: JobFilter| -> Vec<JobId> {
        let page = fixture.store.find_jobs(&filter, None, 10).await.expect("a page");
        page.jobs.into_iter().map(|job| job.id).collect()
    };
    let by_address =
        JobFilter { address: Some("bob@example.org".parse().expect("an address")), ..JobFilter::default() };
    assert_eq!(find(by_address).await, [other]);
    let worker = WorkerId::generate();
    let jobs = fixture.claim(&worker, 1).await;
    assert_eq!(jobs[0].id, id);
    fixture.begin(&worker, &jobs[0]).await;
    fixture.finish(&worker, &jobs[0], Outcome::Sent).await;
    let sent = JobFilter { state: Some(JobState::Sent), ..JobFilter::default() };
    assert_eq!(find(sent).await, [id]);
    let queue = fixture.store.queue(&fixture.queue).await.expect("a queue");
    assert_eq!((queue.queued, queue.sent_total, queue.enqueued_total), (1, 1, 2));
    let minutes = fixture.store.minutes(&fixture.queue, 2).await.expect("minutes");
    assert_eq!(minutes.iter().map(|minute| minute.sent).sum::<u64>(), 1);
}

#[tokio::test]
async fn jobs_of_a_batch_are_listed_with_the_shared_content() {
    let fixture = Fixture::new().await;
    let batch = fixture.create_batch().await;
    let own = serde_json::from_value(serde_json::json!({"to": "ann@example.org", "vars": {"a": 1}})).expect("a mail");
    let job = NewJob { id: batch.job(0), mail: own };
    fixture.store.enqueue(&fixture.queue, Some(&batch), &terms(), &[job]).await.expect("enqueued");
    let filter = JobFilter { batch: Some(batch.clone()), ..JobFilter::default() };
    let page = fixture.store.find_jobs(&filter, None, 10).await.expect("a page");
    let mail = page.jobs[0].mail.clone().expect("content");
    assert_eq!(mail.subject.as_deref(), Some("shared"));
    assert_eq!(mail.vars["a"], 1);
    assert_eq!(page.jobs[0].batch.as_deref(), Some(batch.to_string().as_str()));
}

#[tokio::test]
async fn finished_jobs_are_listed_latest_first_across_queues() {
    let fixture = Fixture::new().await;
    let queues = ["emails", "bulk", "emails", "default"].map(|name| name.parse::<QueueName>().expect("a queue"));
    let mut ended = Vec::new();
    for queue in &queues {
        let id = JobId::new(queue.clone());
        let job = NewJob { id: id.clone(), mail: mail() };
        fixture.store.enqueue(queue, None, &terms(), &[job]).await.expect("enqueued");
        fixture.store.cancel(&id, "person").await.expect("cancelled");
        // Distinct times, so that the order is known.
        let at = 1_000 + ended.len();
        let index = format!("{{{}:{queue}}}:cancelled", fixture.prefix);
        PrivateRedis::shared().ask(&["ZADD", &index, &at.to_string(), &id.to_string()]);
        ended.insert(0, id);
    }
    let filter = JobFilter { state: Some(JobState::Cancelled), ..JobFilter::default() };
    let (mut found, mut cursor) = (Vec::new(), None);
    while found.len() < ended.len() {
        let page = fixture.store.find_jobs(&filter, cursor.as_deref(), 1).await.expect("a page");
        found.extend(page.jobs.into_iter().map(|job| job.id));
        cursor = page.next;
    }
    assert_eq!(found, ended);
}

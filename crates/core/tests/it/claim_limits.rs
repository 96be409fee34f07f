//! Limits on domains and templates: mail without a permit waits in a line of its own and blocks no
//! other mail.

use std::time::Duration;

use postroom_core::{
    JobId, Mail, Pace, Priority,
    store::{
        Claim, ClaimId, ClaimReply, Claimed, JobFilter, JobTerms, LimitName, LineGrant, NewBatch, NewJob, Peek,
        WorkerId,
    },
};

use crate::fixture::{Fixture, terms};

const GMAIL: &str = "domain.gmail.com";
const NEWS: &str = "template.news";

fn limits(names: &[&str]) -> Vec<LimitName> {
    names.iter().map(|name| name.parse().expect(name)).collect()
}

fn turn(line: &str, mails: usize) -> LineGrant {
    LineGrant { line: line.to_owned(), mails, retry_in: Duration::ZERO }
}

fn mail(to: &str, template: Option<&str>) -> Mail {
    Mail { to: vec![to.parse().expect("a mailbox")], template: template.map(str::to_owned), ..Mail::default() }
}

async fn put_in(fixture: &Fixture, terms: &JobTerms, mail: Mail) -> JobId {
    let id = JobId::new(fixture.queue.clone());
    fixture.store.enqueue(&fixture.queue, None, terms, &[NewJob { id: id.clone(), mail }]).await.expect("enqueued");
    id
}

async fn claim_under(fixture: &Fixture, limited: &[&str], grants: &[LineGrant]) -> Vec<Claimed> {
    let (worker, id, limited) = (WorkerId::generate(), ClaimId::generate(), limits(limited));
    let claim = Claim { limited: &limited, grants, ..Claim::new(&fixture.queue, &worker, &id, 10) };
    match fixture.store.claim(&claim).await.expect("a reply") {
        ClaimReply::Jobs { jobs, .. } => jobs,
        other => panic!("{other:?}"),
    }
}

fn ids(jobs: &[Claimed]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id.clone()).collect()
}

async fn lines(fixture: &Fixture) -> (Option<u8>, Vec<(String, u8)>) {
    match fixture.store.peek(&fixture.queue).await.expect("a reply") {
        Peek::Waiting { free, lines } => (free, lines.into_iter().map(|line| (line.name, line.priority)).collect()),
        Peek::Nothing(_) => (None, Vec::new()),
    }
}

#[tokio::test]
async fn jobs_without_a_permit_move_to_a_line_in_order() {
    let fixture = Fixture::new().await;
    let mut held = Vec::new();
    for name in ["ann", "ben", "cid"] {
        held.push(put_in(&fixture, &terms(), mail(&format!("{name} <{name}@GMail.com>"), None)).await);
    }
    let other = put_in(&fixture, &terms(), mail("dan@example.org", None)).await;
    assert_eq!(lines(&fixture).await, (Some(5), Vec::new()), "no claim has examined the jobs yet");
    assert_eq!(ids(&claim_under(&fixture, &[GMAIL], &[]).await), [other]);
    assert_eq!(lines(&fixture).await, (None, vec![(GMAIL.to_owned(), 5)]));
    let first = claim_under(&fixture, &[GMAIL], &[turn(GMAIL, 2)]).await;
    assert_eq!(ids(&first), held[..2]);
    assert!(first.iter().all(|job| job.line.as_deref() == Some(GMAIL)));
    assert_eq!(ids(&claim_under(&fixture, &[GMAIL], &[]).await), []);
    // The limit is removed while a job waits for it.
    assert_eq!(ids(&claim_under(&fixture, &[], &[]).await), held[2..]);
    assert_eq!(fixture.raw("ZCARD", "lines", &[]), "0");
}

#[tokio::test]
async fn a_permit_also_serves_a_job_from_the_ready_list() {
    let fixture = Fixture::new().await;
    let id = put_in(&fixture, &terms(), mail("ann@gmail.com", None)).await;
    let later = put_in(&fixture, &terms(), mail("ben@gmail.com", None)).await;
    let jobs = claim_under(&fixture, &[GMAIL], &[turn(GMAIL, 1)]).await;
    assert_eq!(ids(&jobs), [id]);
    assert_eq!(ids(&claim_under(&fixture, &[GMAIL], &[turn(GMAIL, 1)]).await), [later]);
}

#[tokio::test]
async fn a_job_under_two_limits_waits_for_both() {
    let fixture = Fixture::new().await;
    put_in(&fixture, &terms(), mail("ann@gmail.com", Some("news"))).await;
    put_in(&fixture, &terms(), mail("ben@example.org", Some("news"))).await;
    assert!(claim_under(&fixture, &[GMAIL, NEWS], &[]).await.is_empty());
    let Peek::Waiting { free: None, lines } = fixture.store.peek(&fixture.queue).await.expect("a reply") else {
        panic!("the jobs wait for permits");
    };
    let mut under: Vec<Vec<LimitName>> = lines.into_iter().map(|line| line.limits).collect();
    under.sort();
    assert_eq!(under, [limits(&[GMAIL, NEWS]), limits(&[NEWS])]);
}

#[tokio::test]
async fn a_refused_line_is_not_examined_before_its_time() {
    let fixture = Fixture::new().await;
    put_in(&fixture, &terms(), mail("ann@gmail.com", None)).await;
    claim_under(&fixture, &[GMAIL], &[]).await;
    let refused = LineGrant { retry_in: Duration::from_secs(60), ..turn(GMAIL, 0) };
    claim_under(&fixture, &[GMAIL], &[refused]).await;
    let Peek::Nothing(Some(due)) = fixture.store.peek(&fixture.queue).await.expect("a reply") else {
        panic!("the line waits");
    };
    assert!((Duration::from_secs(50)..=Duration::from_secs(60)).contains(&due), "{due:?}");
}

#[tokio::test]
async fn the_most_urgent_job_of_a_line_is_claimed_first() {
    let fixture = Fixture::new().await;
    put_in(&fixture, &terms(), mail("ann@gmail.com", None)).await;
    let mut urgent = terms();
    urgent.priority = Priority::try_from(1).expect("a priority");
    let first = put_in(&fixture, &urgent, mail("ben@gmail.com", None)).await;
    claim_under(&fixture, &[GMAIL], &[]).await;
    assert_eq!(lines(&fixture).await, (None, vec![(GMAIL.to_owned(), 1)]));
    assert_eq!(ids(&claim_under(&fixture, &[GMAIL], &[turn(GMAIL, 1)]).await), [first]);
}

async fn paced_batch(fixture: &Fixture, pace: Option<Pace>, jobs: u64) -> postroom_core::BatchId {
    let id = postroom_core::BatchId::new(fixture.queue.clone());
    let shared = Mail { template: Some("news".to_owned()), ..Mail::default() };
    let retention = terms().policy.retention;
    let batch = NewBatch { id: id.clone(), name: "news".to_owned(), retention, shared, pace };
    fixture.store.create_batch(&batch).await.expect("created");
    for index in 0..jobs {
        let job = NewJob { id: id.job(index), mail: mail(&format!("user{index}@gmail.com"), None) };
        fixture.store.enqueue(&fixture.queue, Some(&id), &terms(), &[job]).await.expect("enqueued");
    }
    id
}

/// A batch's mail uses the batch's template. A pace and a limit apply together.
#[tokio::test]
async fn a_paced_batch_under_a_limit_keeps_its_pace() {
    let fixture = Fixture::new().await;
    let id = paced_batch(&fixture, Some(Pace::Delay(Duration::from_secs(3_600))), 3).await;
    assert!(claim_under(&fixture, &[NEWS], &[]).await.is_empty(), "no permit");
    assert_eq!(ids(&claim_under(&fixture, &[NEWS], &[turn(NEWS, 10)]).await), [id.job(0)]);
    assert!(claim_under(&fixture, &[NEWS], &[turn(NEWS, 10)]).await.is_empty(), "the pace is not due");
    fixture.store.pace_batch(&id, None).await.expect("the pace is removed");
    let rest = claim_under(&fixture, &[NEWS], &[turn(NEWS, 10)]).await;
    assert_eq!(rest.len(), 2);
}

#[tokio::test]
async fn paused_and_cancelled_jobs_of_a_line_are_not_claimed() {
    let fixture = Fixture::new().await;
    let (paused, cancelled) = (paced_batch(&fixture, None, 2).await, paced_batch(&fixture, None, 2).await);
    assert!(claim_under(&fixture, &[GMAIL], &[]).await.is_empty());
    let filter = JobFilter { queues: vec![fixture.queue.clone()], ..JobFilter::default() };
    assert_eq!(
        fixture.store.find_jobs(&filter, None, 10).await.expect("a page").jobs.len(),
        4,
        "jobs in lines are listed"
    );
    fixture.store.pause_batch(&paused).await.expect("paused");
    fixture.store.cancel_batch(&cancelled).await.expect("cancelled");
    assert!(claim_under(&fixture, &[GMAIL], &[turn(GMAIL, 10)]).await.is_empty());
    fixture.store.resume_batch(&paused).await.expect("resumed");
    let mut again = claim_under(&fixture, &[GMAIL], &[turn(GMAIL, 10)]).await;
    again.extend(claim_under(&fixture, &[GMAIL], &[turn(GMAIL, 10)]).await);
    assert_eq!(ids(&again), [paused.job(0), paused.job(1)]);
}

#[tokio::test]
async fn ordinary_mail_leaves_slots_for_urgent_mail() {
    let fixture = Fixture::new().await;
    for _ in 0..3 {
        fixture.enqueue(&terms()).await;
    }
    let (worker, id) = (WorkerId::generate(), ClaimId::generate());
    let claim = Claim { ordinary: 1, ..Claim::new(&fixture.queue, &worker, &id, 3) };
    let ClaimReply::Jobs { jobs, left, .. } = fixture.store.claim(&claim).await.expect("a reply") else {
        panic!("jobs")
    };
    assert_eq!((jobs.len(), left), (1, Some(5)));
    let mut urgent = terms();
    urgent.priority = Priority::LAST_URGENT;
    let urgent = fixture.enqueue(&urgent).await;
    let id = ClaimId::generate();
    let claim = Claim { ordinary: 0, ..Claim::new(&fixture.queue, &worker, &id, 3) };
    let ClaimReply::Jobs { jobs, .. } = fixture.store.claim(&claim).await.expect("a reply") else { panic!("jobs") };
    assert_eq!(ids(&jobs), [urgent]);
}

//! Servers that refuse, close connections and lose replies among many mails: how many copies each
//! recipient gets, and what is recorded.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use postroom_core::{Backoff, BatchId, BatchReport, JobId, JobState, OnUnknown, RecipientResult, store::JobTerms};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase, PrivateRedis, eventually};
use serde_json::json;

use crate::fixture::{Fixture, LIMIT, plain, terms};

fn user(number: u64) -> String {
    format!("user{number}@example.org")
}

fn terms_with(on_unknown: OnUnknown) -> JobTerms {
    let mut terms = terms();
    terms.policy.on_unknown = on_unknown;
    terms.policy.backoff = Backoff::Fixed(Duration::from_millis(100));
    terms
}

async fn ended(fixture: &Fixture, batch: &BatchId) -> BatchReport {
    eventually(LIMIT * 2, "no job of the batch is under way", async || {
        let report = fixture.store.batch(batch).await.ok()?.expect("a batch");
        (report.unfinished() == report.unknown).then_some(report)
    })
    .await
}

/// Returns the number of copies of each recipient.
fn copies(fixture: &Fixture) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for to in fixture.arrived() {
        *copies.entry(to).or_default() += 1;
    }
    copies
}

const MIXED: u64 = 300;

/// Whether the server replies 451 once to the dot: one mail of twenty.
fn is_deferred(number: u64) -> bool {
    number % 20 == 3
}

/// Whether the server always refuses: one mail of a hundred.
fn is_refused(number: u64) -> bool {
    number % 100 == 7
}

#[tokio::test]
async fn closed_connections_refusals_and_deferrals_together() {
    let smtp = FakeSmtp::builder().max_messages(25).start().await;
    for number in (0..MIXED).filter(|number| is_deferred(*number)) {
        smtp.fault(Fault::at(FaultPhase::Dot, Action::reply(451, "4.3.0 try again")).recipient(&user(number)).times(1));
    }
    for number in (0..MIXED).filter(|number| is_refused(*number)) {
        smtp.fault(Fault::at(FaultPhase::Dot, Action::reply(554, "5.6.0 not like this")).recipient(&user(number)));
    }
    for number in 0..10 {
        let at_rcpt =
            |code, text, name| Fault::at(FaultPhase::Rcpt, Action::reply(code, text)).recipient(&three(name, number));
        smtp.fault(at_rcpt(550, "5.1.1 moved away", "gone"));
        smtp.fault(at_rcpt(451, "4.2.1 mailbox busy", "later").times(1));
    }
    let fixture = Fixture::on(PrivateRedis::shared(), smtp).await;
    let terms = terms_with(OnUnknown::Hold);
    let batch = fixture.enqueue_batch(&fixture.queue, &terms, plain(), MIXED).await;
    let mut threes = Vec::new();
    for number in 0..10 {
        let to = ["here", "gone", "later"].map(|name| three(name, number));
        let mail = serde_json::from_value(json!({"to": to, "subject": "s", "text": "t"})).expect("a mail");
        threes.push(fixture.enqueue_on(&terms, mail).await);
    }
    let _worker = fixture.worker(&["--concurrency", "8"]).await;
    let report = ended(&fixture, &batch).await;
    assert_eq!((report.sent, report.failed, report.unknown), (MIXED - 3, 3, 0), "{report:?}");
    for number in 0..MIXED {
        check_one(&fixture, &batch.job(number), number).await;
    }
    for (number, id) in threes.iter().enumerate() {
        check_three(&fixture, id, number).await;
    }
    let copies = copies(&fixture);
    assert!(copies.values().all(|copies| *copies == 1), "a recipient got two copies: {copies:?}");
    assert_eq!(copies.len() as u64, MIXED - 3 + 20);
    assert!(fixture.smtp.received().iter().all(|mail| mail.nth_on_connection <= 25));
    assert_eq!(fixture.smtp.violations(), [""; 0]);
}

fn three(name: &str, number: usize) -> String {
    format!("{name}{number}@example.net")
}

/// Checks one mail. The end of a connection after its last mail leaves no trace.
async fn check_one(fixture: &Fixture, id: &JobId, number: u64) {
    let job = fixture.job(id).await;
    let codes: Vec<_> = job.attempts.iter().map(|attempt| (attempt.code, attempt.counted)).collect();
    if is_refused(number) {
        assert_eq!((job.state, codes), (JobState::Failed, vec![(Some(554), true)]), "{job:?}");
        assert!(job.error.expect("an error").message.contains("not like this"));
    } else if is_deferred(number) {
        assert_eq!((job.state, codes), (JobState::Sent, vec![(Some(451), true), (Some(250), false)]), "{job:?}");
    } else {
        assert_eq!((job.state, codes), (JobState::Sent, vec![(Some(250), false)]), "{job:?}");
    }
}

async fn check_three(fixture: &Fixture, id: &JobId, number: usize) {
    let job = fixture.reaches(id, JobState::Sent).await;
    let results: Vec<_> = job.recipients.iter().map(|own| (own.address.as_str(), own.result)).collect();
    let [here, gone, later] = ["here", "gone", "later"].map(|name| three(name, number));
    let (accepted, refused) = (RecipientResult::Accepted, RecipientResult::Refused);
    assert_eq!(results, [(&*here, accepted), (&*gone, refused), (&*later, accepted)], "{job:?}");
    let reply = job.recipients[1].reply.as_deref().unwrap_or_default();
    assert!(reply.contains("moved away"), "{reply}");
    assert_eq!(job.attempts.len(), 2, "{job:?}");
}

const LOST: u64 = 2_000;

/// The mail whose reply is always lost.
const NEVER_REPLIED: u64 = 1_234;

/// Sends 2,000 mails. The reply to every twentieth is lost once although the mail was accepted; to
/// one mail always.
async fn replies_lost(on_unknown: OnUnknown) -> (Fixture, BatchReport) {
    let smtp = FakeSmtp::start().await;
    smtp.fault(Fault::at(FaultPhase::Dot, Action::StoreThenClose).recipient(&user(NEVER_REPLIED)));
    for number in (0..LOST).step_by(20) {
        smtp.fault(Fault::at(FaultPhase::Dot, Action::StoreThenClose).recipient(&user(number)).times(1));
    }
    let fixture = Fixture::on(PrivateRedis::shared(), smtp).await;
    let batch = fixture.enqueue_batch(&fixture.queue, &terms_with(on_unknown), plain(), LOST).await;
    let _worker = fixture.worker(&["--concurrency", "20"]).await;
    let report = ended(&fixture, &batch).await;
    let never = fixture.job(&batch.job(NEVER_REPLIED)).await;
    assert_eq!(never.state, JobState::Unknown, "{never:?}");
    assert_eq!(never.attempt, 0, "a mail in doubt counts as failed: {never:?}");
    (fixture, report)
}

#[tokio::test]
async fn mails_with_lost_replies_are_held_and_sent_once() {
    let (fixture, report) = replies_lost(OnUnknown::Hold).await;
    assert_eq!((report.sent, report.unknown, report.failed), (LOST - 101, 101, 0), "{report:?}");
    let copies = copies(&fixture);
    assert_eq!(copies.len() as u64, LOST);
    assert!(copies.values().all(|copies| *copies == 1), "{copies:?}");
}

#[tokio::test]
async fn mails_with_lost_replies_are_resent_once_under_the_same_message_id() {
    let (fixture, report) = replies_lost(OnUnknown::Resend).await;
    assert_eq!((report.sent, report.unknown, report.failed), (LOST - 1, 1, 0), "{report:?}");
    let twice: BTreeSet<_> = (0..LOST).step_by(20).chain([NEVER_REPLIED]).map(user).collect();
    let copies = copies(&fixture);
    assert_eq!(copies.len() as u64, LOST);
    for (to, copies) in &copies {
        assert_eq!(*copies, if twice.contains(to) { 2 } else { 1 }, "{to}");
    }
    let ids: BTreeSet<_> =
        fixture.smtp.received().iter().map(|mail| (mail.rcpt_to.clone(), mail.message_id())).collect();
    assert_eq!(ids.len() as u64, LOST, "one Message-ID for each recipient");
}

#[tokio::test]
async fn a_hundred_recipients_where_thirty_are_accepted_at_once() {
    let smtp = FakeSmtp::builder().max_recipients(30).start().await;
    let fixture = Fixture::on(PrivateRedis::shared(), smtp).await;
    let _worker = fixture.worker(&[]).await;
    let to: Vec<_> = (0..100).map(user).collect();
    let mail = serde_json::from_value(json!({"to": to, "subject": "s", "text": "t"})).expect("a mail");
    let id = fixture.enqueue_on(&terms_with(OnUnknown::Hold), mail).await;
    let job = fixture.reaches(&id, JobState::Sent).await;
    // Attempts with the same result are recorded as one.
    let attempts: Vec<_> =
        job.attempts.iter().map(|attempt| (attempt.n, attempt.verdict.as_str(), attempt.counted)).collect();
    assert_eq!(attempts, [(3, "too_many_recipients", false), (4, "accepted", false)]);
    assert_eq!((job.attempt, job.error), (0, None));
    assert!(job.recipients.iter().all(|own| own.result == RecipientResult::Accepted));
    let copies = copies(&fixture);
    assert_eq!((copies.len(), copies.values().max()), (100, Some(&1)));
    assert_eq!(fixture.smtp.received_count(), 4);
}

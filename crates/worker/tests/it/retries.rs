//! When mail is attempted: retries, due times, priorities.

use std::time::Duration;

use postroom_core::{
    Backoff, JobState, Priority, QueueName,
    store::{Due, Expiry},
};
use postroom_testkit::{Action, Fault, FaultPhase};

use crate::fixture::{Fixture, LIMIT, mail_to, plain, terms};

#[tokio::test]
async fn a_mail_is_sent_after_two_451_replies() {
    let fixture = Fixture::new().await;
    fixture.smtp.fault(Fault::at(FaultPhase::Dot, Action::reply(451, "4.3.0 try again")).times(2));
    let _worker = fixture.worker(&[]).await;
    let mut terms = terms();
    terms.policy.backoff = Backoff::Fixed(Duration::from_millis(700));
    let id = fixture.enqueue_on(&terms, mail_to("ann@example.org")).await;
    let report = fixture.reaches(&id, JobState::Sent).await;
    assert_eq!(fixture.arrived(), ["ann@example.org"], "the mail arrives once");
    let attempts: Vec<_> = report.attempts.iter().map(|attempt| (attempt.n, attempt.counted, attempt.code)).collect();
    assert_eq!(attempts, [(1, true, Some(451)), (2, true, Some(451)), (3, false, Some(250))]);
    assert_eq!(report.attempt, 2);
    let times: Vec<_> = report.attempts.iter().map(|attempt| time_ms(&attempt.at())).collect();
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= 700, "an attempt came before its delay: {times:?}");
    }
}

fn time_ms(text: &str) -> i64 {
    // 2026-01-02T03:04:05.678Z: a test takes less than a month, so day and time are enough.
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().expect("digits");
    ((number(8..10) * 24 + number(11..13)) * 60 + number(14..16)) * 60_000 + number(17..19) * 1_000 + number(20..23)
}

#[tokio::test]
async fn a_mail_fails_when_its_attempts_are_spent() {
    let fixture = Fixture::new().await;
    fixture.smtp.fault(Fault::at(FaultPhase::Rcpt, Action::reply(451, "4.3.0 never")));
    let _worker = fixture.worker(&[]).await;
    let mut terms = terms();
    terms.policy.attempts = 3;
    terms.policy.backoff = Backoff::Fixed(Duration::from_millis(50));
    let id = fixture.enqueue_on(&terms, mail_to("ann@example.org")).await;
    let report = fixture.reaches(&id, JobState::Failed).await;
    assert_eq!((report.attempt, report.attempts.len()), (3, 3));
    assert_eq!(report.reason.as_deref(), Some("attempts_spent"));
    assert!(report.error.expect("an error").message.contains("never"));
}

#[tokio::test]
async fn a_scheduled_mail_leaves_at_its_time() {
    let fixture = Fixture::new().await;
    let _worker = fixture.worker(&[]).await;
    let mut terms = terms();
    terms.due = Due::In(Duration::from_secs(2));
    let id = fixture.enqueue_on(&terms, mail_to("ann@example.org")).await;
    let report = fixture.reaches(&id, JobState::Sent).await;
    let (enqueued, attempted) = (report.enqueued_at.expect("a time"), &report.attempts[0].at());
    let waited = time_ms(attempted) - time_ms(&enqueued);
    assert!((2_000..12_000).contains(&waited), "{waited} ms");
}

#[tokio::test]
async fn an_expired_mail_is_not_sent() {
    let fixture = Fixture::new().await;
    let mut terms = terms();
    terms.expires = Some(Expiry::In(Duration::from_millis(1)));
    let id = fixture.enqueue_on(&terms, mail_to("late@example.org")).await;
    let _worker = fixture.worker(&[]).await;
    let report = fixture.reaches(&id, JobState::Cancelled).await;
    assert_eq!(report.reason.as_deref(), Some("expired"));
    let fresh = fixture.enqueue(mail_to("ann@example.org")).await;
    fixture.reaches(&fresh, JobState::Sent).await;
    assert_eq!(fixture.arrived(), ["ann@example.org"]);
}

/// While thousands of bulk mails wait, an urgent mail is the next to leave.
#[tokio::test]
async fn an_urgent_mail_overtakes_a_newsletter() {
    let fixture = Fixture::new().await;
    let mut bulk = terms();
    bulk.priority = Priority::try_from(7).expect("a priority");
    for queue in [QueueName::bulk(), QueueName::emails()] {
        fixture.enqueue_batch(&queue, &bulk, plain(), 5_000).await;
    }
    fixture.smtp.fault(Fault::at(FaultPhase::Dot, Action::Delay(Duration::from_millis(5))));
    let _worker = fixture.worker(&["--concurrency", "4"]).await;
    fixture.smtp.wait_for(50, LIMIT).await;
    let mut urgent = terms();
    urgent.priority = Priority::try_from(0).expect("a priority");
    let before = fixture.smtp.received_count();
    let id = fixture.enqueue_on(&urgent, mail_to("urgent@example.org")).await;
    fixture.reaches(&id, JobState::Sent).await;
    let arrived = fixture.smtp.received();
    let index = arrived.iter().position(|mail| mail.rcpt_to == ["urgent@example.org"]).expect("arrived");
    // Allows for mails under way, and for those claimed between the count and the enqueue.
    assert!(index < before + 60, "{before} mails had arrived, the urgent one is number {index}");
}

//! When mail is tried: retries, due times, priorities.

use std::time::Duration;

use postroom_core::{
    Backoff, JobState, Priority, QueueName,
    store::{Due, Expiry},
};
use postroom_testkit::{Action, Fault, Phase};

use crate::bench::{Bench, LIMIT, mail_to, plain, terms};

#[tokio::test]
async fn twice_451_then_250() {
    let bench = Bench::new().await;
    bench.smtp.fault(Fault::at(Phase::Dot, Action::reply(451, "4.3.0 try again")).times(2));
    let _worker = bench.worker(&[]).await;
    let mut terms = terms();
    terms.policy.backoff = Backoff::Fixed(Duration::from_millis(700));
    let id = bench.enqueue_on(&terms, mail_to("ann@example.org")).await;
    let report = bench.reaches(&id, JobState::Sent).await;
    assert_eq!(bench.arrived(), ["ann@example.org"], "once");
    let story: Vec<_> = report.attempts.iter().map(|attempt| (attempt.n, attempt.counted, attempt.code)).collect();
    assert_eq!(story, [(1, true, Some(451)), (2, true, Some(451)), (3, false, Some(250))]);
    assert_eq!(report.attempt, 2);
    let times: Vec<_> = report.attempts.iter().map(|attempt| chrono_ms(&attempt.at())).collect();
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= 700, "not before its delay: {times:?}");
    }
}

fn chrono_ms(text: &str) -> i64 {
    // 2026-01-02T03:04:05.678Z: within one test the clock of the day is enough.
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().expect("digits");
    ((number(8..10) * 24 + number(11..13)) * 60 + number(14..16)) * 60_000 + number(17..19) * 1_000 + number(20..23)
}

#[tokio::test]
async fn attempts_come_to_an_end() {
    let bench = Bench::new().await;
    bench.smtp.fault(Fault::at(Phase::Rcpt, Action::reply(451, "4.3.0 never")));
    let _worker = bench.worker(&[]).await;
    let mut terms = terms();
    terms.policy.attempts = 3;
    terms.policy.backoff = Backoff::Fixed(Duration::from_millis(50));
    let id = bench.enqueue_on(&terms, mail_to("ann@example.org")).await;
    let report = bench.reaches(&id, JobState::Failed).await;
    assert_eq!((report.attempt, report.attempts.len()), (3, 3));
    assert_eq!(report.reason.as_deref(), Some("attempts_spent"));
    assert!(report.error.expect("an error").message.contains("never"));
}

#[tokio::test]
async fn a_scheduled_mail_leaves_at_its_time() {
    let bench = Bench::new().await;
    let _worker = bench.worker(&[]).await;
    let mut terms = terms();
    terms.due = Due::In(Duration::from_secs(2));
    let id = bench.enqueue_on(&terms, mail_to("ann@example.org")).await;
    let report = bench.reaches(&id, JobState::Sent).await;
    let (handed_over, tried) = (report.enqueued_at.expect("a time"), report.attempts[0].at());
    let waited = chrono_ms(&tried) - chrono_ms(&handed_over);
    assert!((2_000..12_000).contains(&waited), "{waited} ms");
}

#[tokio::test]
async fn an_expired_mail_is_not_sent() {
    let bench = Bench::new().await;
    let mut terms = terms();
    terms.expires = Some(Expiry::In(Duration::from_millis(1)));
    let id = bench.enqueue_on(&terms, mail_to("late@example.org")).await;
    let _worker = bench.worker(&[]).await;
    let report = bench.reaches(&id, JobState::Cancelled).await;
    assert_eq!(report.reason.as_deref(), Some("expired"));
    let fresh = bench.enqueue(mail_to("ann@example.org")).await;
    bench.reaches(&fresh, JobState::Sent).await;
    assert_eq!(bench.arrived(), ["ann@example.org"]);
}

/// With thousands of bulk mails waiting an urgent one is the next to leave.
#[tokio::test]
async fn an_urgent_mail_overtakes_a_newsletter() {
    let bench = Bench::new().await;
    let mut bulk = terms();
    bulk.priority = Priority::try_from(7).expect("a priority");
    for queue in [QueueName::bulk(), QueueName::emails()] {
        bench.enqueue_batch(&queue, &bulk, plain(), 5_000).await;
    }
    bench.smtp.fault(Fault::at(Phase::Dot, Action::Delay(Duration::from_millis(5))));
    let _worker = bench.worker(&["--concurrency", "4"]).await;
    bench.smtp.wait_for(50, LIMIT).await;
    let mut urgent = terms();
    urgent.priority = Priority::try_from(0).expect("a priority");
    let before = bench.smtp.received_count();
    let id = bench.enqueue_on(&urgent, mail_to("urgent@example.org")).await;
    bench.reaches(&id, JobState::Sent).await;
    let arrived = bench.smtp.received();
    let place = arrived.iter().position(|mail| mail.rcpt_to == ["urgent@example.org"]).expect("it arrived");
    // Those under way, and what was claimed between our counting and the enqueue.
    assert!(place < before + 60, "{before} had arrived before, it came as number {place}");
}

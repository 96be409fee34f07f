//! A stop with many deliveries under way, each at another phase.

use std::{collections::BTreeSet, time::Duration};

use postroom_core::{JobId, JobState, OnUnknown};
use postroom_testkit::{Action, Fault, FaultPhase, eventually};

use crate::fixture::{Fixture, LIMIT, mail_to, terms};

const SENDS: usize = 200;

fn recipient(number: usize) -> String {
    format!("user{number}@example.org")
}

/// A third of the mails ends within the shutdown timeout. A third stalls before the mark, a third
/// between mark and reply.
fn stall(fixture: &Fixture) {
    for number in 0..SENDS {
        let (phase, action) = match number % 3 {
            0 => (FaultPhase::Dot, Action::Delay(Duration::from_millis(1_000 + number as u64 * 10))),
            1 => (FaultPhase::Rcpt, Action::Stall),
            _ => (FaultPhase::Dot, Action::StoreThenStall),
        };
        fixture.smtp.fault(Fault::at(phase, action).recipient(&recipient(number)).times(1));
    }
}

#[tokio::test]
async fn a_stop_settles_two_hundred_deliveries_under_way() {
    let mut fixture = Fixture::new().await;
    fixture.env.push(("SHUTDOWN_TIMEOUT".to_owned(), "8s".to_owned()));
    stall(&fixture);
    let mut terms = terms();
    terms.policy.on_unknown = OnUnknown::Hold;
    let mut ids: Vec<JobId> = Vec::new();
    for number in 0..SENDS {
        ids.push(fixture.enqueue_on(&terms, mail_to(&recipient(number))).await);
    }
    let mut worker = fixture.worker(&["--queues", "emails", "--concurrency", "201"]).await;
    let stored = SENDS / 3;
    eventually(LIMIT, "all mails are under way, a third of them stored without a reply", async || {
        (fixture.smtp.peak_connections() >= SENDS && fixture.smtp.received_count() >= stored).then_some(())
    })
    .await;
    worker.terminate();
    assert_eq!(worker.wait(LIMIT).await.code(), Some(0), "{}", worker.stderr());
    let mut counts = [0; 3];
    for (number, id) in ids.iter().enumerate() {
        let expected = [JobState::Sent, JobState::Queued, JobState::Unknown][number % 3];
        let report = fixture.job(id).await;
        assert_eq!(report.state, expected, "{number}: {report:?}\n{}", worker.stderr());
        assert_eq!(report.attempt, 0);
        counts[number % 3] += 1;
    }
    assert_eq!(counts, [67, 67, 66]);
    // The next worker sends the mails that were handed back, and no others.
    let _worker = fixture.worker(&[]).await;
    for id in ids.iter().skip(1).step_by(3) {
        fixture.reaches(id, JobState::Sent).await;
    }
    let arrived = fixture.arrived();
    assert_eq!(arrived.len(), SENDS);
    assert_eq!(arrived.iter().collect::<BTreeSet<_>>().len(), SENDS, "each mail once");
}

//! A stop with many deliveries under way, each at another phase.

use std::{collections::BTreeSet, time::Duration};

use postroom_core::{JobId, JobState, OnUnknown};
use postroom_testkit::{Action, Fault, Phase, eventually};

use crate::bench::{Bench, LIMIT, mail_to, terms};

const SENDS: usize = 200;

fn recipient(number: usize) -> String {
    format!("user{number}@example.org")
}

/// A third of the mails ends within the shutdown timeout. A third stalls before the mark, a third
/// between mark and reply.
fn stall(bench: &Bench) {
    for number in 0..SENDS {
        let (phase, action) = match number % 3 {
            0 => (Phase::Dot, Action::Delay(Duration::from_millis(1_000 + number as u64 * 10))),
            1 => (Phase::Rcpt, Action::Stall),
            _ => (Phase::Dot, Action::StoreThenStall),
        };
        bench.smtp.fault(Fault::at(phase, action).recipient(&recipient(number)).times(1));
    }
}

#[tokio::test]
async fn a_stop_settles_two_hundred_deliveries_under_way() {
    let mut bench = Bench::new().await;
    bench.env.push(("SHUTDOWN_TIMEOUT".to_owned(), "8s".to_owned()));
    stall(&bench);
    let mut terms = terms();
    terms.policy.on_unknown = OnUnknown::Hold;
    let mut ids: Vec<JobId> = Vec::new();
    for number in 0..SENDS {
        ids.push(bench.enqueue_on(&terms, mail_to(&recipient(number))).await);
    }
    let mut worker = bench.worker(&["--queues", "emails", "--concurrency", "201"]).await;
    let stored = SENDS / 3;
    eventually(LIMIT, "all mails are under way, a third of them stored without a reply", async || {
        (bench.smtp.peak_connections() >= SENDS && bench.smtp.received_count() >= stored).then_some(())
    })
    .await;
    worker.terminate();
    assert_eq!(worker.wait(LIMIT).await.code(), Some(0), "{}", worker.stderr());
    let mut counts = [0; 3];
    for (number, id) in ids.iter().enumerate() {
        let expected = [JobState::Sent, JobState::Queued, JobState::Unknown][number % 3];
        let report = bench.job(id).await;
        assert_eq!(report.state, expected, "{number}: {report:?}\n{}", worker.stderr());
        assert_eq!(report.attempt, 0);
        counts[number % 3] += 1;
    }
    assert_eq!(counts, [67, 67, 66]);
    // The next worker sends the mails that were handed back, and no others.
    let _worker = bench.worker(&[]).await;
    for id in ids.iter().skip(1).step_by(3) {
        bench.reaches(id, JobState::Sent).await;
    }
    let arrived = bench.arrived();
    assert_eq!(arrived.len(), SENDS);
    assert_eq!(arrived.iter().collect::<BTreeSet<_>>().len(), SENDS, "each mail once");
}

//! Workers that stop, are killed, and lose their Redis.

use std::{collections::BTreeSet, time::Duration};

use postroom_core::{BatchId, BatchReport, JobState, OnUnknown};
use postroom_testkit::{Action, FakeSmtp, Fault, Phase, PrivateRedis, eventually};

use crate::bench::{Bench, LIMIT, mail_to, plain, terms};

const MAILS: u64 = 400;

async fn slow(bench: &Bench, ms: u64) {
    bench.smtp.fault(Fault::at(Phase::Dot, Action::Delay(Duration::from_millis(ms))));
}

async fn settled(bench: &Bench, batch: &BatchId) -> BatchReport {
    eventually(LIMIT * 2, "nothing of the batch is under way", async || {
        // Redis may be away for a moment.
        let report = bench.store.batch(batch).await.ok()?.expect("a batch");
        (report.unfinished() == report.unknown).then_some(report)
    })
    .await
}

#[tokio::test]
async fn sigterm_under_load_loses_and_doubles_nothing() {
    let bench = Bench::new().await;
    slow(&bench, 20).await;
    let mut terms = terms();
    terms.policy.on_unknown = OnUnknown::Hold;
    let batch = bench.enqueue_batch(&bench.queue, &terms, plain(), MAILS).await;
    for round in 1..=3 {
        let mut worker = bench.worker(&["--concurrency", "20"]).await;
        bench.smtp.wait_for(round * 60, LIMIT).await;
        worker.terminate();
        let status = worker.wait(LIMIT).await;
        assert_eq!(status.code(), Some(0), "{}", worker.stderr());
        let report = bench.store.batch(&batch).await.expect("an answer").expect("a batch");
        assert_eq!((report.sending, report.unknown), (0, 0), "nothing is left in its hands");
        assert_eq!(report.sent, bench.smtp.received_count() as u64, "what arrived is known to be sent");
    }
    let _worker = bench.worker(&["--concurrency", "20"]).await;
    let report = settled(&bench, &batch).await;
    assert_eq!((report.sent, report.unknown), (MAILS, 0));
    let arrived = bench.arrived();
    assert_eq!(arrived.len() as u64, MAILS);
    assert_eq!(arrived.iter().collect::<BTreeSet<_>>().len() as u64, MAILS);
}

#[tokio::test]
async fn what_hangs_at_sigterm_is_put_back_before_the_dot_and_in_doubt_after_it() {
    for (phase, state) in [(Phase::Rcpt, JobState::Queued), (Phase::Dot, JobState::Unknown)] {
        let bench = Bench::new().await;
        bench.smtp.fault(Fault::at(phase, Action::Stall));
        let mut bench = bench;
        bench.env.push(("SHUTDOWN_TIMEOUT".to_owned(), "1s".to_owned()));
        let mut worker = bench.worker(&[]).await;
        let mut terms = terms();
        terms.policy.on_unknown = OnUnknown::Hold;
        let id = bench.enqueue_on(&terms, mail_to("ann@example.org")).await;
        eventually(LIMIT, "the stall", async || {
            let commands = bench.smtp.commands(1);
            let word = if phase == Phase::Rcpt { "RCPT" } else { "DATA" };
            commands.iter().any(|command| command.starts_with(word)).then_some(())
        })
        .await;
        if phase == Phase::Dot {
            // The dot follows the mark.
            eventually(LIMIT, "the mark", async || (bench.job(&id).await.message_id.is_some()).then_some(())).await;
        }
        worker.terminate();
        assert_eq!(worker.wait(LIMIT).await.code(), Some(0), "{}", worker.stderr());
        assert_eq!(bench.job(&id).await.state, state, "{phase:?}");
    }
}

#[tokio::test]
async fn kill_9_under_load_loses_nothing() {
    let bench = Bench::new().await;
    slow(&bench, 20).await;
    let mut terms = terms();
    terms.policy.on_unknown = OnUnknown::Hold;
    terms.policy.lease = Duration::from_secs(2);
    let batch = bench.enqueue_batch(&bench.queue, &terms, plain(), MAILS).await;
    let mut kills = 0;
    for round in 1..=3 {
        let mut worker = bench.worker(&["--concurrency", "10"]).await;
        bench.smtp.wait_for(round * 60, LIMIT).await;
        worker.kill();
        worker.wait(LIMIT).await;
        kills += 1;
    }
    let _worker = bench.worker(&["--concurrency", "10"]).await;
    let report = settled(&bench, &batch).await;
    assert_eq!(report.sent + report.unknown, MAILS, "nothing is lost: {report:?}");
    assert!(report.unknown <= kills * 10, "in doubt only what was under way: {report:?}");
    let arrived = bench.arrived();
    let distinct = arrived.iter().collect::<BTreeSet<_>>().len();
    assert_eq!(arrived.len(), distinct, "held, not doubled");
    assert!(distinct as u64 >= report.sent, "what is called sent has arrived");
}

#[tokio::test]
async fn redis_killed_and_started_again() {
    let redis = PrivateRedis::start_tcp().await;
    let bench = Bench::on(&redis, FakeSmtp::start().await).await;
    slow(&bench, 20).await;
    let mut terms = terms();
    terms.policy.on_unknown = OnUnknown::Hold;
    let batch = bench.enqueue_batch(&bench.queue, &terms, plain(), MAILS).await;
    let mut worker = bench.worker(&["--concurrency", "10"]).await;
    bench.smtp.wait_for(100, LIMIT).await;
    // What was put in is on disk: the append-only file is written every second.
    redis.stop();
    worker.wait_for_line("Redis is unavailable", LIMIT).await;
    redis.start_again().await;
    let report = settled(&bench, &batch).await;
    assert_eq!((report.sent, report.unknown), (MAILS, 0), "{}", worker.stderr());
    let arrived = bench.arrived();
    assert_eq!(arrived.iter().collect::<BTreeSet<_>>().len(), arrived.len());
    for said in ["Redis is unavailable", "Redis is available again"] {
        assert_eq!(worker.stderr().matches(said).count(), 1, "said once: {}", worker.stderr());
    }
    worker.terminate();
    assert_eq!(worker.wait(LIMIT).await.code(), Some(0));
}

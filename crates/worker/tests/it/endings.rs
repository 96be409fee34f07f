//! Workers that stop, are killed, or lose their Redis.

use std::{collections::BTreeSet, time::Duration};

use postroom_core::{BatchId, BatchReport, JobState, OnUnknown};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase, PrivateRedis, eventually};

use crate::fixture::{Fixture, LIMIT, mail_to, plain, terms};

const MAILS: u64 = 400;

async fn slow(fixture: &Fixture, ms: u64) {
    fixture.smtp.fault(Fault::at(FaultPhase::Dot, Action::Delay(Duration::from_millis(ms))));
}

async fn settled(fixture: &Fixture, batch: &BatchId) -> BatchReport {
    eventually(LIMIT * 2, "no job of the batch is under way", async || {
        // Redis may be away for a moment.
        let report = fixture.store.batch(batch).await.ok()?.expect("a batch");
        (report.unfinished() == report.unknown).then_some(report)
    })
    .await
}

#[tokio::test]
async fn sigterm_under_load_loses_no_mail_and_sends_none_twice() {
    let fixture = Fixture::new().await;
    slow(&fixture, 20).await;
    let mut terms = terms();
    terms.policy.on_unknown = OnUnknown::Hold;
    let batch = fixture.enqueue_batch(&fixture.queue, &terms, plain(), MAILS).await;
    for round in 1..=3 {
        let mut worker = fixture.worker(&["--concurrency", "20"]).await;
        fixture.smtp.wait_for(round * 60, LIMIT).await;
        worker.terminate();
        let status = worker.wait(LIMIT).await;
        assert_eq!(status.code(), Some(0), "{}", worker.stderr());
        let report = fixture.store.batch(&batch).await.expect("a reply").expect("a batch");
        assert_eq!((report.sending, report.unknown), (0, 0), "no job is left under way");
        assert_eq!(report.sent, fixture.smtp.received_count() as u64, "each mail that arrived is recorded as sent");
    }
    let _worker = fixture.worker(&["--concurrency", "20"]).await;
    let report = settled(&fixture, &batch).await;
    assert_eq!((report.sent, report.unknown), (MAILS, 0));
    let arrived = fixture.arrived();
    assert_eq!(arrived.len() as u64, MAILS);
    assert_eq!(arrived.iter().collect::<BTreeSet<_>>().len() as u64, MAILS);
}

#[tokio::test]
async fn a_stalled_mail_is_handed_back_before_the_dot_and_in_doubt_after_it() {
    for (phase, state) in [(FaultPhase::Rcpt, JobState::Queued), (FaultPhase::Dot, JobState::Unknown)] {
        let fixture = Fixture::new().await;
        fixture.smtp.fault(Fault::at(phase, Action::Stall));
        let mut fixture = fixture;
        fixture.env.push(("SHUTDOWN_TIMEOUT".to_owned(), "1s".to_owned()));
        let mut worker = fixture.worker(&[]).await;
        let mut terms = terms();
        terms.policy.on_unknown = OnUnknown::Hold;
        let id = fixture.enqueue_on(&terms, mail_to("ann@example.org")).await;
        eventually(LIMIT, "the stall", async || {
            let commands = fixture.smtp.commands(1);
            let word = if phase == FaultPhase::Rcpt { "RCPT" } else { "DATA" };
            commands.iter().any(|command| command.starts_with(word)).then_some(())
        })
        .await;
        if phase == FaultPhase::Dot {
            // The dot follows the mark.
            eventually(LIMIT, "the mark", async || (fixture.job(&id).await.message_id.is_some()).then_some(())).await;
        }
        worker.terminate();
        assert_eq!(worker.wait(LIMIT).await.code(), Some(0), "{}", worker.stderr());
        assert_eq!(fixture.job(&id).await.state, state, "{phase:?}");
    }
}

#[tokio::test]
async fn kill_9_under_load_loses_no_mail() {
    let fixture = Fixture::new().await;
    slow(&fixture, 20).await;
    let mut terms = terms();
    terms.policy.on_unknown = OnUnknown::Hold;
    terms.policy.lease = Duration::from_secs(2);
    let batch = fixture.enqueue_batch(&fixture.queue, &terms, plain(), MAILS).await;
    let mut kills = 0;
    for round in 1..=3 {
        let mut worker = fixture.worker(&["--concurrency", "10"]).await;
        fixture.smtp.wait_for(round * 60, LIMIT).await;
        worker.kill();
        worker.wait(LIMIT).await;
        kills += 1;
    }
    let _worker = fixture.worker(&["--concurrency", "10"]).await;
    let report = settled(&fixture, &batch).await;
    assert_eq!(report.sent + report.unknown, MAILS, "a mail is lost: {report:?}");
    assert!(report.unknown <= kills * 10, "more in doubt than were under way: {report:?}");
    let arrived = fixture.arrived();
    let distinct = arrived.iter().collect::<BTreeSet<_>>().len();
    assert_eq!(arrived.len(), distinct, "a mail in doubt was sent twice");
    assert!(distinct as u64 >= report.sent, "a mail recorded as sent has not arrived");
}

#[tokio::test]
async fn a_killed_redis_loses_no_mail() {
    let redis = PrivateRedis::start_tcp().await;
    let fixture = Fixture::on(&redis, FakeSmtp::start().await).await;
    slow(&fixture, 20).await;
    let mut terms = terms();
    terms.policy.on_unknown = OnUnknown::Hold;
    let batch = fixture.enqueue_batch(&fixture.queue, &terms, plain(), MAILS).await;
    let mut worker = fixture.worker(&["--concurrency", "10"]).await;
    fixture.smtp.wait_for(100, LIMIT).await;
    // The enqueued jobs are on disk: the append-only file is synced every second.
    redis.stop();
    worker.wait_for_line("Redis is unavailable", LIMIT).await;
    redis.start_again().await;
    let report = settled(&fixture, &batch).await;
    assert_eq!((report.sent, report.unknown), (MAILS, 0), "{}", worker.stderr());
    let arrived = fixture.arrived();
    assert_eq!(arrived.iter().collect::<BTreeSet<_>>().len(), arrived.len());
    for line in ["Redis is unavailable", "Redis is available again"] {
        assert_eq!(worker.stderr().matches(line).count(), 1, "logged once: {}", worker.stderr());
    }
    worker.terminate();
    assert_eq!(worker.wait(LIMIT).await.code(), Some(0));
}

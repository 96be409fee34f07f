//! Termination of a worker, and the kill of every process.

use super::{ScenarioRun, slow};
use crate::args::UnknownPolicy;
use crate::fault::FaultLog;
use crate::load::{Load, recipient};
use crate::processes::{ProcessGroup, ProcessSpec};
use crate::report::Report;
use crate::testbed::Testbed;
use postroom_testkit::{Action, Fault, FaultPhase, PrivateRedis};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Terminates a worker while it sends mails of 1 to 60 s, and kills it after 30 s, as a platform
/// does.
pub(super) async fn sigterm(run: ScenarioRun, mut report: Report) -> Report {
    let number = run.scale.pick(200, 60);
    let (shortest, longest) = (run.scale.seconds(1.0, 0.2), run.scale.seconds(60.0, 9.0));
    let (limit, grace) = (run.scale.seconds(25.0, 3.0), run.scale.seconds(30.0, 6.0));
    let testbed = run.testbed(PrivateRedis::start().await, None).await;
    let mut load = Load::new(&testbed);
    delay_mails(&testbed, number, shortest, longest);
    load.bulk(number, &[]).await;
    let timeout = format!("{}ms", limit.as_millis());
    let spec = ProcessSpec::worker(number).with(vec![("SHUTDOWN_TIMEOUT".to_owned(), timeout)]);
    let mut processes = ProcessGroup::start(&testbed, vec![spec]).await;
    let started = Instant::now();
    let mut log = FaultLog::new();
    let all = Instant::now() + Duration::from_secs(10);
    while testbed.sending_count() + testbed.smtp.received_count() < number && Instant::now() < all {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    log.begin(&testbed, "SIGTERM").await;
    processes.terminate(0);
    let start = Instant::now();
    let status = processes.wait(0, grace).await;
    report.within("the worker ends after SIGTERM", grace, status.map(|_| start.elapsed()));
    processes.kill(0);
    log.end();
    let (not_begun, begun) = remaining_leases(&testbed);
    report.at_most("jobs not begun and not back in the queue", 0, not_begun);
    report.at_most("jobs begun and not settled", 0, begun);
    let before = testbed.smtp.received_count();
    testbed.smtp.clear_faults();
    processes.replace(0);
    // The server still finishes the mails that it had read.
    tokio::time::sleep((started + longest).saturating_duration_since(Instant::now())).await;
    let audit = run.finish(&mut report, &testbed, &processes, &load, &log).await;
    report.note(format!("{before} mails had arrived when the worker ended"));
    match run.on_unknown {
        UnknownPolicy::Hold => report.at_most("duplicates", 0, audit.duplicates),
        UnknownPolicy::Resend => report.at_most("held", 0, audit.held.len()),
    }
    let settled = audit.sent.max(audit.reached.union(&audit.held).count());
    report.check("each mail is sent or held", settled, settled == number);
    report
}

/// Delays each mail by a different time: every second one at RCPT, the others after the final dot.
fn delay_mails(testbed: &Testbed, number: usize, shortest: Duration, longest: Duration) {
    for n in 0..number {
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let length = shortest + (longest - shortest).mul_f64(n as f64 / number as f64);
        let phase = if n % 2 == 0 { FaultPhase::Rcpt } else { FaultPhase::Dot };
        testbed.smtp.fault(Fault::at(phase, Action::Delay(length)).recipient(&recipient(n)));
    }
}

/// Returns the numbers of leased jobs without a live worker: (not begun, begun).
fn remaining_leases(testbed: &Testbed) -> (usize, usize) {
    let redis = testbed.redis();
    let holders: Vec<_> = testbed.leased().iter().filter_map(|job| job.holder(&redis)).collect();
    let begun = holders.iter().filter(|holder| holder.begun).count();
    (holders.len() - begun, begun)
}

/// Cancels 500 of 1,000 scheduled mails and kills every process while other mail is sent.
pub(super) async fn scheduled_cancelled(run: ScenarioRun, mut report: Report) -> Report {
    let number = run.scale.pick(1_000, 200);
    let wait = run.scale.seconds(30.0, 9.0);
    let testbed = run.testbed(PrivateRedis::start_tcp().await, None).await;
    slow(&testbed, Duration::from_millis(200));
    let mut load = Load::new(&testbed);
    let (batch, first) = load.bulk(number, &["--in", &format!("{}ms", wait.as_millis())]).await;
    load.bulk(run.scale.pick(1_500, 400), &[]).await;
    let mut processes =
        ProcessGroup::start(&testbed, vec![ProcessSpec::worker(10), ProcessSpec::worker(10), ProcessSpec::beat()])
            .await;
    let cancelled = cancel_half(&testbed, &batch, first, number).await;
    let mut log = FaultLog::new();
    log.begin(&testbed, "every process killed").await;
    (0..processes.len()).for_each(|index| processes.kill(index));
    testbed.redis().kill();
    testbed.redis().start_again().await;
    (0..processes.len()).for_each(|index| processes.replace(index));
    log.end();
    let audit = run.finish(&mut report, &testbed, &processes, &load, &log).await;
    let scheduled: BTreeSet<String> = (first..first + number).map(recipient).collect();
    let sent = audit.reached.intersection(&scheduled).count();
    report.check(format!("exactly {} of the scheduled mails are sent", number / 2), sent, sent == number / 2);
    let sent_anyway = audit.reached.intersection(&cancelled).count();
    report.at_most("cancelled mails sent", 0, sent_anyway);
    if run.on_unknown == UnknownPolicy::Hold {
        report.at_most("duplicates", 0, audit.duplicates);
    }
    report
}

/// Cancels every second mail by its id. Returns the cancelled recipients.
async fn cancel_half(testbed: &Testbed, batch: &str, first: usize, number: usize) -> BTreeSet<String> {
    let recipients: BTreeSet<String> = (first..first + number).step_by(2).map(recipient).collect();
    let jobs = testbed.json(&["list", "--batch", batch, "--limit", "100000"]).await;
    let to = |job: &serde_json::Value| job["to"][0].as_str().unwrap_or_default().to_owned();
    let ids: Vec<String> = jobs
        .iter()
        .filter(|job| recipients.contains(&to(job)))
        .map(|job| job["id"].as_str().unwrap_or_default().to_owned())
        .collect();
    let args: Vec<&str> = std::iter::once("cancel").chain(ids.iter().map(String::as_str)).collect();
    let output = testbed.postroom(&args).await;
    assert!(output.status.success(), "cancel: {}", String::from_utf8_lossy(&output.stderr));
    recipients
}

//! Killed workers, and workers that are frozen and resumed.

use super::{ScenarioRun, slow};
use crate::args::UnknownPolicy;
use crate::audit::Audit;
use crate::fault::FaultLog;
use crate::load::Load;
use crate::processes::ProcessGroup;
use crate::report::Report;
use crate::testbed::{Leased, Testbed, through};
use postroom_testkit::{Action, Fault, FaultPhase, PrivateRedis};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

const WORKERS: usize = 3;
const CONNECTIONS: usize = 10;
/// Minimum number of mails between mark and dot before a freeze. Some of them finish before the
/// signal takes effect.
const MIN_BEGUN: usize = 3;

/// Kills one of three workers repeatedly and starts a replacement.
pub(super) async fn killed(run: ScenarioRun, mut report: Report) -> Report {
    let (every, kills) = (run.scale.seconds(2.0, 1.0), run.scale.pick(30, 5));
    let testbed = run.testbed(PrivateRedis::start().await, None).await;
    slow(&testbed, Duration::from_millis(200));
    let mut load = Load::new(&testbed);
    load.bulk(run.scale.pick(9_500, 1_100), &[]).await;
    let mut processes = ProcessGroup::workers(&testbed, WORKERS, CONNECTIONS).await;
    let mut log = FaultLog::new();
    let mut rescues = Vec::new();
    for turn in 0..kills {
        tokio::time::sleep(every).await;
        let victim = turn % WORKERS;
        log.begin(&testbed, format!("kill -9 of {}", processes.name(victim))).await;
        let id = processes.worker_id(victim).unwrap_or_default();
        processes.kill(victim);
        log.end();
        rescues.push(tokio::spawn(rescue_time(Arc::clone(&testbed), id, 4 * run.scale.lease())));
        processes.replace(victim);
    }
    let mut slowest = Some(Duration::ZERO);
    for rescue in rescues {
        slowest = rescue.await.expect("no panic").and_then(|took| slowest.map(|slowest| slowest.max(took)));
    }
    let audit = run.finish(&mut report, &testbed, &processes, &load, &log).await;
    check_unknown(run, &mut report, &testbed, &audit, kills * CONNECTIONS);
    report.within("the jobs of each killed worker are rescued", 2 * run.scale.lease(), slowest);
    let (queued, doubt) = processes.rescued();
    report.note(format!("rescued according to the logs: {queued} queued again, {doubt} unknown"));
    if queued + doubt == 0 {
        report.void("no job was rescued");
    }
    report
}

/// Checks that only mails past their mark are held or sent twice, at most one per connection of
/// the killed workers.
fn check_unknown(run: ScenarioRun, report: &mut Report, testbed: &Testbed, audit: &Audit, most: usize) {
    match run.on_unknown {
        UnknownPolicy::Hold => {
            report.at_most("duplicates", 0, audit.duplicates);
            report.at_most("held", most, audit.held.len());
            let reached = reached_data(testbed);
            let early = audit.held.iter().filter(|to| !reached.contains(*to)).count();
            report.at_most("held without DATA", 0, early);
        }
        UnknownPolicy::Resend => report.at_most("duplicates", most, audit.duplicates),
    }
}

/// Returns the time until all jobs of a killed worker are rescued, or `None` after `limit`.
async fn rescue_time(testbed: Arc<Testbed>, worker: String, limit: Duration) -> Option<Duration> {
    let (start, redis) = (Instant::now(), testbed.redis());
    let is_held = |job: &Leased| job.holder(&redis).is_some_and(|holder| holder.worker == worker);
    let mut jobs: Vec<Leased> = testbed.leased().into_iter().filter(is_held).collect();
    while !jobs.is_empty() {
        if start.elapsed() > limit {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        jobs.retain(is_held);
    }
    Some(start.elapsed())
}

/// Returns the recipients for whom a connection sent RCPT and then DATA.
fn reached_data(testbed: &Testbed) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    for connection in 1..=testbed.smtp.connections() {
        let mut open = Vec::new();
        for command in testbed.smtp.commands(connection) {
            let upper = command.to_ascii_uppercase();
            if upper.starts_with("MAIL ") || upper.starts_with("RSET") {
                open.clear();
            } else if upper.starts_with("RCPT TO:<") {
                open.push(command[9..].split('>').next().unwrap_or_default().to_owned());
            } else if upper.starts_with("DATA") {
                reached.append(&mut open.drain(..).collect());
            }
        }
    }
    reached
}

/// Freezes a worker for longer than its lease (SIGSTOP, SIGCONT): before the reply to DATA, and
/// between the mark and the dot.
pub(super) async fn stopped(run: ScenarioRun, mut report: Report) -> Report {
    let redis = PrivateRedis::start_tcp().await;
    let (proxy, url) = through(&redis);
    let testbed = run.testbed(redis, Some(url)).await;
    let mut load = Load::new(&testbed);
    load.bulk(run.scale.pick(3_000, 700), &[]).await;
    let mut processes = ProcessGroup::workers(&testbed, WORKERS, CONNECTIONS).await;
    let mut log = FaultLog::new();

    testbed.smtp.fault(Fault::at(FaultPhase::Data, Action::Delay(Duration::from_millis(400))));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (before_354, _) = freeze(run, &testbed, &mut processes, &mut log, "frozen before the reply to DATA").await;

    // Redis's reply to the mark is delayed, so that most mails have their mark and not their dot.
    testbed.smtp.clear_faults();
    proxy.delay_answers(Duration::from_millis(300));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (marked, between) =
        freeze(run, &testbed, &mut processes, &mut log, "frozen between the mark and the dot").await;
    proxy.pass();

    let begun = before_354 + marked;
    let audit = run.finish(&mut report, &testbed, &processes, &load, &log).await;
    report.note(format!("begun at the freeze: {before_354}, then {marked}, {between} of these before their dot"));
    match run.on_unknown {
        UnknownPolicy::Hold => report.at_most("duplicates", 0, audit.duplicates),
        UnknownPolicy::Resend => {
            report.at_most("duplicates (at most those begun at the freeze)", begun, audit.duplicates);
        }
    }
    if before_354 == 0 || between == 0 {
        report.void("no mail was between its mark and its dot");
    }
    report
}

/// Freezes worker 1 for 1.7 leases. Returns the number of its begun jobs, and how many of these the
/// server did not have.
async fn freeze(
    run: ScenarioRun,
    testbed: &Testbed,
    processes: &mut ProcessGroup,
    log: &mut FaultLog,
    what: &str,
) -> (usize, usize) {
    let id = processes.worker_id(0).unwrap_or_default();
    log.begin(testbed, format!("{}, {what}", processes.name(0))).await;
    // Marks are written in groups, so poll often.
    let end = Instant::now() + Duration::from_secs(10);
    while without_dot(testbed, &begun_by(testbed, &id)) < MIN_BEGUN && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    processes.freeze(0);
    let begun = begun_by(testbed, &id);
    // Mails sent before the freeze arrive now. Resent copies arrive after the lease.
    let moment = run.scale.lease() / 4;
    tokio::time::sleep(moment).await;
    let between = without_dot(testbed, &begun);
    tokio::time::sleep(run.scale.lease().mul_f64(1.7) - moment).await;
    processes.thaw(0);
    log.end();
    (begun.len(), between)
}

/// Returns the recipients of the jobs that this worker has begun.
fn begun_by(testbed: &Testbed, worker: &str) -> Vec<String> {
    let redis = testbed.redis();
    let is_begun = |job: &Leased| job.holder(&redis).is_some_and(|holder| holder.worker == worker && holder.begun);
    testbed.leased().iter().filter(|job| is_begun(job)).filter_map(|job| job.to(&redis)).collect()
}

/// Returns the number of recipients for whom the server has no mail.
fn without_dot(testbed: &Testbed, to: &[String]) -> usize {
    let mails = testbed.smtp.received();
    to.iter().filter(|to| !mails.iter().any(|mail| mail.rcpt_to.contains(to))).count()
}

//! Wrong clocks of Redis and of workers.

use super::redis::finish_without_rescues;
use super::{ScenarioRun, slow};
use crate::fault::FaultLog;
use crate::load::{Load, recipient};
use crate::processes::{ProcessGroup, ProcessSpec};
use crate::report::Report;
use postroom_testkit::{FakeClock, PrivateRedis};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 10;

/// Moves the clock of Redis one hour forward while mail is sent, then back.
pub(super) async fn of_redis(run: ScenarioRun, mut report: Report) -> Report {
    let clock = FakeClock::new("+0");
    let redis = PrivateRedis::builder().clock(&clock).start().await;
    let testbed = run.testbed(redis, None).await;
    slow(&testbed, Duration::from_millis(200));
    let mut load = Load::new(&testbed);
    load.bulk(run.scale.pick(7_000, 1_500), &[]).await;
    let processes = ProcessGroup::workers(&testbed, 3, CONNECTIONS).await;
    let mut log = FaultLog::new();
    for (what, offset) in [("the clock of Redis moved 1 h forward", "+1h"), ("the clock of Redis moved 1 h back", "+0")]
    {
        tokio::time::sleep(Duration::from_secs(1)).await;
        log.begin(&testbed, what).await;
        clock.set(offset);
        tokio::time::sleep(run.scale.lease().mul_f64(1.2)).await;
        log.end();
    }
    finish_without_rescues(run, &mut report, &testbed, &processes, &load, &log).await;
    report
}

/// Runs one worker with its clock an hour ahead, one an hour behind, and one with the right time.
/// None claims a job early or rescues a job of a live worker.
pub(super) async fn of_workers(run: ScenarioRun, mut report: Report) -> Report {
    let (ahead, behind) = (FakeClock::new("+1h"), FakeClock::new("-1h"));
    let testbed = run.testbed(PrivateRedis::start().await, None).await;
    slow(&testbed, Duration::from_millis(200));
    let mut load = Load::new(&testbed);
    let specs = [ahead.envs(), behind.envs(), Vec::new()].map(|env| ProcessSpec::worker(CONNECTIONS).with(env));
    let processes = ProcessGroup::start(&testbed, specs.into()).await;
    let wait = run.scale.seconds(20.0, 5.0);
    let due = Instant::now() + wait;
    let (_, first) = load.bulk(run.scale.pick(500, 100), &["--in", &format!("{}ms", wait.as_millis())]).await;
    let later: Vec<String> = (first..load.len()).map(recipient).collect();
    load.bulk(run.scale.pick(4_500, 1_000), &[]).await;
    let mut log = FaultLog::new();
    log.begin(&testbed, "clocks of two workers wrong by 1 h").await;
    log.end();
    finish_without_rescues(run, &mut report, &testbed, &processes, &load, &log).await;
    let mails = testbed.smtp.received();
    let is_early = |to: &String| mails.iter().any(|mail| mail.rcpt_to.contains(to) && mail.at < due);
    report.at_most("mails sent before they were due", 0, later.iter().filter(|to| is_early(to)).count());
    report
}

//! A rate limit shared by workers that are killed and replaced.

use super::ScenarioRun;
use crate::audit::Audit;
use crate::load::Load;
use crate::processes::ProcessGroup;
use crate::report::Report;
use postroom_testkit::{Action, Fault, FaultPhase, PrivateRedis};
use std::time::{Duration, Instant};

const RATE: usize = 50;
const WORKERS: usize = 4;
const CONNECTIONS: usize = 10;
const KILLS: u32 = 5;
const SECOND: Duration = Duration::from_secs(1);

/// Runs four workers at a shared rate limit and replaces one every few seconds. The server replies
/// after random delays.
pub(super) async fn held(run: ScenarioRun, mut report: Report) -> Report {
    let length = run.scale.seconds(60.0, 12.0);
    let testbed = run.testbed(PrivateRedis::start().await, None).await;
    testbed.redis().ask(&["HSET", "{chaos:system}:limits", "transport.default", &format!("{RATE}/s")]);
    testbed.smtp.fault(Fault::at(FaultPhase::Dot, Action::DelayUpTo(Duration::from_millis(50))));
    let expected = RATE * usize::try_from(length.as_secs()).unwrap_or(0);
    let mut load = Load::new(&testbed);
    load.bulk(expected + expected / 10, &[]).await;
    let mut processes = ProcessGroup::workers(&testbed, WORKERS, CONNECTIONS).await;
    testbed.smtp.wait_for(1, run.scale.settle_limit()).await;
    let start = Instant::now();
    for turn in 0..KILLS {
        tokio::time::sleep(length / (KILLS + 1)).await;
        let victim = usize::try_from(turn).unwrap_or(0) % WORKERS;
        report.note(format!("kill -9 of {}", processes.name(victim)));
        processes.kill(victim);
        processes.replace(victim);
    }
    tokio::time::sleep(length.saturating_sub(start.elapsed())).await;
    let at: Vec<Instant> = testbed.smtp.received().iter().map(|mail| mail.at).collect();
    let in_time = at.iter().filter(|at| **at < start + length).count();
    // The margin covers the mail at the start of a second and one delayed mail. A quick run shares
    // a busy machine, so its margin is larger.
    report.at_most("mails in any second", RATE + run.scale.pick(2, 15), most_in_a_second(&at));
    let share = run.scale.pick(97, 30);
    report.check(format!("at least {share} % of {expected} in {length:?}"), in_time, in_time * 100 >= expected * share);
    // Few mails are being sent at this rate, so the minimum number for a fault does not apply.
    let audit = Audit::settled(&testbed, &load, run.scale.settle_limit()).await;
    report.check_audit(&audit);
    run.note_logs(&mut report, &processes);
    report
}

/// Returns the maximum number of arrivals within any second.
pub(super) fn most_in_a_second(at: &[Instant]) -> usize {
    let mut sorted = at.to_vec();
    sorted.sort();
    let within = |place: usize| sorted[place..].iter().take_while(|at| **at < sorted[place] + SECOND).count();
    (0..sorted.len()).map(within).max().unwrap_or(0)
}

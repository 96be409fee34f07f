//! Black-holed connections to Redis.

use super::{ScenarioRun, slow};
use crate::fault::FaultLog;
use crate::load::Load;
use crate::processes::ProcessGroup;
use crate::report::Report;
use crate::testbed::through;
use postroom_testkit::PrivateRedis;
use std::time::{Duration, Instant};

const NEXT: Duration = Duration::from_secs(15);
const END: Duration = Duration::from_secs(10);
/// Time in which mails that were already begun still arrive.
const BEGUN_LIMIT: Duration = Duration::from_millis(1_500);

/// Black-holes existing connections, as when a firewall has dropped their state. New ones pass.
pub(super) async fn black_hole(run: ScenarioRun, mut report: Report) -> Report {
    let redis = PrivateRedis::start_tcp().await;
    let (proxy, url) = through(&redis);
    let testbed = run.testbed(redis, Some(url)).await;
    slow(&testbed, Duration::from_millis(200));
    let mut load = Load::new(&testbed);
    load.bulk(run.scale.pick(4_000, 1_500), &[]).await;
    let mut processes = ProcessGroup::workers(&testbed, 2, 10).await;
    let mut log = FaultLog::new();
    tokio::time::sleep(Duration::from_secs(1)).await;

    log.begin(&testbed, "connections to Redis black-holed").await;
    let start = Instant::now();
    proxy.black_hole_existing();
    tokio::time::sleep(BEGUN_LIMIT).await;
    let next = next_after(&testbed.smtp, start + BEGUN_LIMIT, start + 3 * NEXT).await;
    log.end();
    report.within("the next mail arrives", NEXT, next.map(|at| at - start));
    tokio::time::sleep(Duration::from_secs(2)).await;

    log.begin(&testbed, "connections to Redis black-holed and SIGTERM to one worker").await;
    proxy.black_hole_existing();
    let start = Instant::now();
    processes.terminate(0);
    let ended = processes.wait(0, 4 * END).await;
    report.within("a worker ends after SIGTERM", END, ended.map(|_| start.elapsed()));
    log.end();
    processes.replace(0);

    let audit = run.finish(&mut report, &testbed, &processes, &load, &log).await;
    report.at_most("duplicates", 0, audit.duplicates);
    report
}

async fn next_after(smtp: &postroom_testkit::FakeSmtp, moment: Instant, limit: Instant) -> Option<Instant> {
    loop {
        let next = smtp.received().iter().map(|mail| mail.at).filter(|at| *at > moment).min();
        if next.is_some() || Instant::now() > limit {
            return next;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

//! Redis is killed, loses writes, fails over, stalls, or is full.

use super::{ScenarioRun, slow};
use crate::audit::{Audit, settle};
use crate::fault::FaultLog;
use crate::load::Load;
use crate::processes::ProcessGroup;
use crate::report::Report;
use crate::testbed::Testbed;
use postroom_testkit::{PrivateRedis, Proxy, Sentinel};
use std::sync::Arc;
use std::time::{Duration, Instant};

const WORKERS: usize = 3;
const CONNECTIONS: usize = 10;
const RESUME: Duration = Duration::from_secs(5);

/// Kills Redis five times for 3 s.
pub(super) async fn killed(run: ScenarioRun, mut report: Report) -> Report {
    let redis = PrivateRedis::start_tcp().await;
    let (testbed, mut load, processes) = busy(run, redis, None, run.scale.pick(8_000, 1_500)).await;
    let mut log = FaultLog::new();
    let away = run.scale.seconds(3.0, 1.0);
    for _ in 0..run.scale.pick(5, 2) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        log.begin(&testbed, "Redis killed").await;
        testbed.redis().kill();
        // Enqueue a bulk meanwhile, with retries.
        let back = async {
            restart(&testbed, away).await;
            log.end();
        };
        tokio::join!(load.bulk(50, &[]), back);
    }
    let audit = run.finish(&mut report, &testbed, &processes, &load, &log).await;
    check_resumption(&mut report, &audit, &log);
    report
}

/// Kills Redis five times and removes its last second of writes. Bulks and durable mails survive.
pub(super) async fn cut_back(run: ScenarioRun, mut report: Report) -> Report {
    let redis = PrivateRedis::builder().tcp().records_aof_size().start().await;
    let (testbed, mut load, processes) = busy(run, redis, None, run.scale.pick(3_000, 700)).await;
    let mut log = FaultLog::new();
    let (mut durable, mut refused) = (load.sibling(), None);
    for _ in 0..run.scale.pick(5, 2) {
        tokio::time::sleep(Duration::from_secs(2)).await;
        log.begin(&testbed, "Redis killed, its last second of writes removed").await;
        let redis = testbed.redis();
        let cut = async {
            // During a bulk, so that a part of its rows is in the removed second.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let enqueued_at = Instant::now();
            refused = durable.send(&["--durable"]).await.err().or(refused.take());
            // A server with WAITAOF acknowledges earlier than a second, but the removal ignores
            // syncs.
            tokio::time::sleep(Duration::from_millis(1_050).saturating_sub(enqueued_at.elapsed())).await;
            redis.kill_and_cut_back(Duration::from_secs(1));
            restart(&testbed, Duration::from_millis(500)).await;
            log.end();
        };
        tokio::join!(load.trickle(1_000, Duration::from_secs(3)), cut);
    }
    let observed = format!("{} mails; {}", durable.len(), refused.unwrap_or_default());
    let is_durable = durable.len() > 0;
    load.merge(durable);
    let audit = run.finish(&mut report, &testbed, &processes, &load, &log).await;
    report.check("0 bulks aborted", load.aborted.join("; "), load.aborted.is_empty());
    report.check("mails can be enqueued durably", observed, is_durable);
    check_resumption(&mut report, &audit, &log);
    report
}

/// Kills the primary. Sentinel promotes a replica that lags by one second.
pub(super) async fn failover(run: ScenarioRun, mut report: Report) -> Report {
    let primary = PrivateRedis::builder().tcp().start().await;
    let line = Proxy::start(primary.addr());
    let replica = PrivateRedis::builder().tcp().replica_of(line.addr()).start().await;
    let sentinel = Sentinel::over(&primary, Duration::from_secs(1)).await;
    let known = Instant::now() + Duration::from_secs(15);
    while sentinel.replicas() == 0 && Instant::now() < known {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let url = format!("redis+sentinel://{}/{}", sentinel.addr(), Sentinel::NAME);
    let (testbed, load, processes) = busy(run, primary, Some(url), run.scale.pick(4_000, 1_200)).await;
    line.delay(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut log = FaultLog::new();
    log.begin(&testbed, "the primary killed, a replica with a lag of one second promoted").await;
    testbed.redis().kill();
    // The delayed writes to the replica are lost together with the primary.
    line.reset();
    let end = Instant::now() + Duration::from_secs(30);
    while sentinel.primary() != replica.addr() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    log.end();
    report.check("Sentinel promotes the replica", sentinel.primary(), sentinel.primary() == replica.addr());
    testbed.replace_redis(replica);
    let audit = run.finish(&mut report, &testbed, &processes, &load, &log).await;
    check_resumption(&mut report, &audit, &log);
    report
}

/// Stalls Redis for longer than a lease.
pub(super) async fn stalled(run: ScenarioRun, mut report: Report) -> Report {
    let redis = PrivateRedis::builder().tcp().config("enable-debug-command", "yes").start().await;
    let (testbed, load, processes) = busy(run, redis, None, run.scale.pick(2_500, 900)).await;
    let stall = run.scale.seconds(20.0, 4.0);
    let mut log = FaultLog::new();
    tokio::time::sleep(Duration::from_secs(1)).await;
    log.begin(&testbed, "Redis stalled").await;
    let (redis, seconds) = (testbed.redis(), stall.as_secs_f64().to_string());
    // The reply comes after the stall, or the call times out first.
    let asleep = tokio::task::spawn_blocking(move || redis.try_ask(&["DEBUG", "SLEEP", &seconds]));
    tokio::time::sleep(stall).await;
    drop(asleep.await);
    log.end();
    finish_without_rescues(run, &mut report, &testbed, &processes, &load, &log).await;
    report
}

/// Freezes Redis for longer than a lease, then stops it gracefully for as long.
pub(super) async fn stopped(run: ScenarioRun, mut report: Report) -> Report {
    let redis = PrivateRedis::start_tcp().await;
    let (testbed, load, processes) = busy(run, redis, None, run.scale.pick(3_500, 1_200)).await;
    let away = run.scale.seconds(30.0, 4.0);
    let mut log = FaultLog::new();
    tokio::time::sleep(Duration::from_secs(1)).await;
    log.begin(&testbed, "Redis frozen").await;
    testbed.redis().pause();
    tokio::time::sleep(away).await;
    testbed.redis().resume();
    log.end();
    tokio::time::sleep(run.scale.lease()).await;
    log.begin(&testbed, "Redis stopped").await;
    testbed.redis().stop();
    restart(&testbed, away).await;
    log.end();
    finish_without_rescues(run, &mut report, &testbed, &processes, &load, &log).await;
    report
}

/// Fills the memory of Redis while mail is sent.
pub(super) async fn full(run: ScenarioRun, mut report: Report) -> Report {
    let redis = PrivateRedis::start_tcp().await;
    let (testbed, mut load, processes) = busy(run, redis, None, run.scale.pick(3_000, 700)).await;
    let mut log = FaultLog::new();
    log.begin(&testbed, "Redis full").await;
    let redis = testbed.redis();
    redis.ask(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let refusal = load.send(&[]).await.err().unwrap_or_default();
    let is_clear = refusal.to_lowercase().contains("full") || refusal.to_lowercase().contains("memory");
    report.check("enqueueing is refused with a clear error", refusal.replace('\n', " "), is_clear);
    // All enqueued mail must be sent while the memory is full.
    log.end();
    settle(&testbed, run.scale.settle_limit()).await;
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    let audit = run.finish(&mut report, &testbed, &processes, &load, &log).await;
    report.at_most("duplicates", 0, audit.duplicates);
    report.check("all enqueued mails are sent", audit.sent, audit.sent == load.len());
    report
}

/// Enqueues mails of 200 ms each and starts workers.
async fn busy(
    run: ScenarioRun,
    redis: PrivateRedis,
    url: Option<String>,
    mails: usize,
) -> (Arc<Testbed>, Load, ProcessGroup) {
    let testbed = run.testbed(redis, url).await;
    slow(&testbed, Duration::from_millis(200));
    let mut load = Load::new(&testbed);
    load.bulk(mails, &[]).await;
    let processes = ProcessGroup::workers(&testbed, WORKERS, CONNECTIONS).await;
    (testbed, load, processes)
}

async fn restart(testbed: &Testbed, after: Duration) {
    tokio::time::sleep(after).await;
    testbed.redis().start_again().await;
}

/// Checks that no mail was sent twice and that sending resumed soon after each fault.
fn check_resumption(report: &mut Report, audit: &Audit, log: &FaultLog) {
    report.at_most("duplicates", 0, audit.duplicates);
    report.check_recovery(log, &audit.arrivals, RESUME);
}

/// Finishes the run and checks that no job of a live worker was rescued.
pub(super) async fn finish_without_rescues(
    run: ScenarioRun,
    report: &mut Report,
    testbed: &Testbed,
    processes: &ProcessGroup,
    load: &Load,
    log: &FaultLog,
) {
    let audit = run.finish(report, testbed, processes, load, log).await;
    let (queued, doubt) = processes.rescued();
    report.check("0 rescued from live workers", queued + doubt, queued + doubt == 0);
    report.at_most("duplicates", 0, audit.duplicates);
    report.at_most("held", 0, audit.held.len());
}

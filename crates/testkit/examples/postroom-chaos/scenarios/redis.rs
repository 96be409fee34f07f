//! Redis goes, forgets, is replaced, stalls, or is full.

use super::{Play, slow};
use crate::account::{Account, settle};
use crate::crew::Crew;
use crate::fault::FaultLog;
use crate::load::Load;
use crate::report::Report;
use crate::site::Site;
use postroom_testkit::{PrivateRedis, Proxy, Sentinel};
use std::sync::Arc;
use std::time::{Duration, Instant};

const WORKERS: usize = 3;
const CONNECTIONS: usize = 10;
const RESUME: Duration = Duration::from_secs(5);

/// kill -9, five times, for 3 s.
pub(super) async fn killed(play: Play, mut report: Report) -> Report {
    let redis = PrivateRedis::start_tcp().await;
    let (site, mut load, crew) = busy(play, redis, None, play.scale.pick(8_000, 1_500)).await;
    let mut log = FaultLog::new();
    let away = play.scale.seconds(3.0, 1.0);
    for _ in 0..play.scale.pick(5, 2) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        log.begin(&site, "Redis killed").await;
        site.redis().kill();
        // Somebody hands mail over meanwhile and does not give up.
        let back = async {
            come_back(&site, away).await;
            log.end();
        };
        tokio::join!(load.bulk(50, &[]), back);
    }
    let account = play.close(&mut report, &site, &crew, &load, &log).await;
    nothing_twice_and_soon(&mut report, &account, &log);
    report
}

/// kill -9 and a second of writes gone, five times. What was handed over by bulk or durably stays.
pub(super) async fn cut_back(play: Play, mut report: Report) -> Report {
    let redis = PrivateRedis::builder().tcp().remembers().start().await;
    let (site, mut load, crew) = busy(play, redis, None, play.scale.pick(3_000, 700)).await;
    let mut log = FaultLog::new();
    let (mut durable, mut refused) = (load.beside(), None);
    for _ in 0..play.scale.pick(5, 2) {
        tokio::time::sleep(Duration::from_secs(2)).await;
        log.begin(&site, "Redis killed, its last second gone").await;
        let redis = site.redis();
        let cut = async {
            // In the midst of a bulk, some of it in the lost second and some before.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let handed_over = Instant::now();
            refused = durable.send(&["--durable"]).await.err().or(refused.take());
            // A server that knows when it has synced says so earlier; a cut knows nothing of syncs.
            tokio::time::sleep(Duration::from_millis(1_050).saturating_sub(handed_over.elapsed())).await;
            redis.kill_and_cut_back(Duration::from_secs(1));
            come_back(&site, Duration::from_millis(500)).await;
            log.end();
        };
        tokio::join!(load.trickle(1_000, Duration::from_secs(3)), cut);
    }
    let told = format!("{} were; {}", durable.len(), refused.unwrap_or_default());
    let is_durable = durable.len() > 0;
    load.absorb(durable);
    let account = play.close(&mut report, &site, &crew, &load, &log).await;
    report.check("0 bulks broke off", load.broke_off.join("; "), load.broke_off.is_empty());
    report.check("mails can be handed over durably", told, is_durable);
    nothing_twice_and_soon(&mut report, &account, &log);
    report
}

/// The primary dies; Sentinel promotes a replica that is a second behind.
pub(super) async fn failover(play: Play, mut report: Report) -> Report {
    let primary = PrivateRedis::builder().tcp().start().await;
    let line = Proxy::start(primary.addr());
    let replica = PrivateRedis::builder().tcp().replica_of(line.addr()).start().await;
    let sentinel = Sentinel::over(&primary, Duration::from_secs(1)).await;
    let known = Instant::now() + Duration::from_secs(15);
    while sentinel.replicas() == 0 && Instant::now() < known {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let url = format!("redis+sentinel://{}/{}", sentinel.addr(), Sentinel::NAME);
    let (site, load, crew) = busy(play, primary, Some(url), play.scale.pick(4_000, 1_200)).await;
    line.delay(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut log = FaultLog::new();
    log.begin(&site, "the primary killed, a replica a second behind promoted").await;
    site.redis().kill();
    // What was on its way to the replica is lost with its sender.
    line.reset();
    let end = Instant::now() + Duration::from_secs(30);
    while sentinel.primary() != replica.addr() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    log.end();
    report.check("Sentinel promotes the replica", sentinel.primary(), sentinel.primary() == replica.addr());
    site.redis_is_now(replica);
    let account = play.close(&mut report, &site, &crew, &load, &log).await;
    nothing_twice_and_soon(&mut report, &account, &log);
    report
}

/// It is busy with something else for longer than a lease.
pub(super) async fn stalled(play: Play, mut report: Report) -> Report {
    let redis = PrivateRedis::builder().tcp().config("enable-debug-command", "yes").start().await;
    let (site, load, crew) = busy(play, redis, None, play.scale.pick(2_500, 900)).await;
    let stall = play.scale.seconds(20.0, 4.0);
    let mut log = FaultLog::new();
    tokio::time::sleep(Duration::from_secs(1)).await;
    log.begin(&site, "Redis stalled").await;
    let (redis, seconds) = (site.redis(), stall.as_secs_f64().to_string());
    // Its answer comes after the stall, or not at all where that takes longer than one waits.
    let asleep = tokio::task::spawn_blocking(move || redis.try_ask(&["DEBUG", "SLEEP", &seconds]));
    tokio::time::sleep(stall).await;
    drop(asleep.await);
    log.end();
    nothing_by_mistake(play, &mut report, &site, &crew, &load, &log).await;
    report
}

/// It is frozen, and then stopped in good order, for longer than a lease.
pub(super) async fn stopped(play: Play, mut report: Report) -> Report {
    let redis = PrivateRedis::start_tcp().await;
    let (site, load, crew) = busy(play, redis, None, play.scale.pick(3_500, 1_200)).await;
    let away = play.scale.seconds(30.0, 4.0);
    let mut log = FaultLog::new();
    tokio::time::sleep(Duration::from_secs(1)).await;
    log.begin(&site, "Redis frozen").await;
    site.redis().pause();
    tokio::time::sleep(away).await;
    site.redis().resume();
    log.end();
    tokio::time::sleep(play.scale.lease()).await;
    log.begin(&site, "Redis stopped").await;
    site.redis().stop();
    come_back(&site, away).await;
    log.end();
    nothing_by_mistake(play, &mut report, &site, &crew, &load, &log).await;
    report
}

/// No memory is left while mail is going out.
pub(super) async fn full(play: Play, mut report: Report) -> Report {
    let redis = PrivateRedis::start_tcp().await;
    let (site, mut load, crew) = busy(play, redis, None, play.scale.pick(3_000, 700)).await;
    let mut log = FaultLog::new();
    log.begin(&site, "Redis full").await;
    let redis = site.redis();
    redis.ask(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let refusal = load.send(&[]).await.err().unwrap_or_default();
    let is_clear = refusal.to_lowercase().contains("full") || refusal.to_lowercase().contains("memory");
    report.check("handing over is refused, and the error says why", refusal.replace('\n', " "), is_clear);
    // All of it has to leave with no memory left.
    log.end();
    settle(&site, play.scale.patience()).await;
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    let account = play.close(&mut report, &site, &crew, &load, &log).await;
    report.at_most("duplicates", 0, account.duplicates);
    report.check("all in flight and all waiting are sent", account.sent, account.sent == load.len());
    report
}

/// A load of mails of 200 ms, and workers on it.
async fn busy(play: Play, redis: PrivateRedis, url: Option<String>, mails: usize) -> (Arc<Site>, Load, Crew) {
    let site = play.site(redis, url).await;
    slow(&site, Duration::from_millis(200));
    let mut load = Load::new(&site);
    load.bulk(mails, &[]).await;
    let crew = Crew::workers(&site, WORKERS, CONNECTIONS).await;
    (site, load, crew)
}

async fn come_back(site: &Site, after: Duration) {
    tokio::time::sleep(after).await;
    site.redis().start_again().await;
}

fn nothing_twice_and_soon(report: &mut Report, account: &Account, log: &FaultLog) {
    report.at_most("duplicates", 0, account.duplicates);
    report.recovered(log, &account.arrivals, RESUME);
}

/// Workers that live lose nothing because Redis was silent.
pub(super) async fn nothing_by_mistake(
    play: Play,
    report: &mut Report,
    site: &Site,
    crew: &Crew,
    load: &Load,
    log: &FaultLog,
) {
    let account = play.close(report, site, crew, load, log).await;
    let (queued, doubt) = crew.rescued();
    report.check("0 rescued by mistake", queued + doubt, queued + doubt == 0);
    report.at_most("duplicates", 0, account.duplicates);
    report.at_most("held", 0, account.held.len());
}

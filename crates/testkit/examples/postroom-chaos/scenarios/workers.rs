//! Workers that die, and workers that are frozen and come back.

use super::{Play, slow};
use crate::account::Account;
use crate::args::OnUnknown;
use crate::crew::Crew;
use crate::fault::FaultLog;
use crate::load::Load;
use crate::report::Report;
use crate::site::{Leased, Site, through};
use postroom_testkit::{Action, Fault, Phase, PrivateRedis};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

const WORKERS: usize = 3;
const CONNECTIONS: usize = 10;
/// So many that some of them are still without their dot when the signal has come.
const SEVERAL: usize = 3;

/// kill -9 of one of three, again and again; another one starts in its place.
pub(super) async fn killed(play: Play, mut report: Report) -> Report {
    let (every, kills) = (play.scale.seconds(2.0, 1.0), play.scale.pick(30, 5));
    let site = play.site(PrivateRedis::start().await, None).await;
    slow(&site, Duration::from_millis(200));
    let mut load = Load::new(&site);
    load.bulk(play.scale.pick(9_500, 1_100), &[]).await;
    let mut crew = Crew::workers(&site, WORKERS, CONNECTIONS).await;
    let mut log = FaultLog::new();
    let mut picking_up = Vec::new();
    for turn in 0..kills {
        tokio::time::sleep(every).await;
        let victim = turn % WORKERS;
        log.begin(&site, format!("kill -9 of {}", crew.name(victim))).await;
        let id = crew.worker_id(victim).unwrap_or_default();
        crew.kill(victim);
        log.end();
        picking_up.push(tokio::spawn(picked_up(Arc::clone(&site), id, 4 * play.scale.lease())));
        crew.replace(victim);
    }
    let mut slowest = Some(Duration::ZERO);
    for one in picking_up {
        slowest = one.await.expect("no panic").and_then(|took| slowest.map(|slowest| slowest.max(took)));
    }
    let account = play.close(&mut report, &site, &crew, &load, &log).await;
    in_doubt_only(play, &mut report, &site, &account, kills * CONNECTIONS);
    report.within("the mails of each were picked up", 2 * play.scale.lease(), slowest);
    let (queued, doubt) = crew.rescued();
    report.note(format!("rescued as the logs have it: {queued} queued again, {doubt} in doubt"));
    if queued + doubt == 0 {
        report.void("nothing was rescued");
    }
    report
}

/// Only what was past its mark is in doubt, or twice, and that is no more than the killed had connections.
fn in_doubt_only(play: Play, report: &mut Report, site: &Site, account: &Account, most: usize) {
    match play.on_unknown {
        OnUnknown::Hold => {
            report.at_most("duplicates", 0, account.duplicates);
            report.at_most("held", most, account.held.len());
            let asked = reached_data(site);
            let early = account.held.iter().filter(|to| !asked.contains(*to)).count();
            report.at_most("held that were killed before DATA", 0, early);
        }
        OnUnknown::Resend => report.at_most("duplicates", most, account.duplicates),
    }
}

/// How long a dead worker's jobs stay with it.
async fn picked_up(site: Arc<Site>, worker: String, limit: Duration) -> Option<Duration> {
    let (start, redis) = (Instant::now(), site.redis());
    let is_its = |job: &Leased| job.holding(&redis).is_some_and(|holding| holding.worker == worker);
    let mut jobs: Vec<Leased> = site.leased().into_iter().filter(is_its).collect();
    while !jobs.is_empty() {
        if start.elapsed() > limit {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        jobs.retain(is_its);
    }
    Some(start.elapsed())
}

/// The recipients for whom DATA was said, after RCPT on some connection.
fn reached_data(site: &Site) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    for connection in 1..=site.smtp.connections() {
        let mut open = Vec::new();
        for command in site.smtp.commands(connection) {
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

/// SIGSTOP beyond the lease, then SIGCONT: with 354 outstanding, and between the mark and the dot.
pub(super) async fn stopped(play: Play, mut report: Report) -> Report {
    let redis = PrivateRedis::start_tcp().await;
    let (proxy, url) = through(&redis);
    let site = play.site(redis, Some(url)).await;
    let mut load = Load::new(&site);
    load.bulk(play.scale.pick(3_000, 700), &[]).await;
    let mut crew = Crew::workers(&site, WORKERS, CONNECTIONS).await;
    let mut log = FaultLog::new();

    site.smtp.fault(Fault::at(Phase::Data, Action::Delay(Duration::from_millis(400))));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (asking, _) = freeze(play, &site, &mut crew, &mut log, "frozen while 354 is outstanding").await;

    // The answer to a mark comes late: most of what is under way has its mark and waits to send its dot.
    site.smtp.clear_faults();
    proxy.delay_answers(Duration::from_millis(300));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (marked, between) = freeze(play, &site, &mut crew, &mut log, "frozen between the mark and the dot").await;
    proxy.pass();

    let begun = asking + marked;
    let account = play.close(&mut report, &site, &crew, &load, &log).await;
    report.note(format!("begun when frozen: {asking}, then {marked}, of these before their dot {between}"));
    match play.on_unknown {
        OnUnknown::Hold => report.at_most("duplicates", 0, account.duplicates),
        OnUnknown::Resend => report.at_most("duplicates (those begun when frozen)", begun, account.duplicates),
    }
    if asking == 0 || between == 0 {
        report.void("no mail was between its mark and its dot");
    }
    report
}

/// Returns how many of the frozen worker's jobs were begun, and of how many of these the server had nothing.
async fn freeze(play: Play, site: &Site, crew: &mut Crew, log: &mut FaultLog, what: &str) -> (usize, usize) {
    let id = crew.worker_id(0).unwrap_or_default();
    log.begin(site, format!("{}, {what}", crew.name(0))).await;
    // Marks come in crowds, which soon pass.
    let end = Instant::now() + Duration::from_secs(10);
    while without_dot(site, &begun_by(site, &id)) < SEVERAL && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    crew.freeze(0);
    let begun = begun_by(site, &id);
    // What had left before it was frozen arrives; what is resent comes after the lease.
    let moment = play.scale.lease() / 4;
    tokio::time::sleep(moment).await;
    let between = without_dot(site, &begun);
    tokio::time::sleep(play.scale.lease().mul_f64(1.7) - moment).await;
    crew.thaw(0);
    log.end();
    (begun.len(), between)
}

/// The recipients whose mails carry this worker's mark.
fn begun_by(site: &Site, worker: &str) -> Vec<String> {
    let redis = site.redis();
    let is_begun = |job: &Leased| job.holding(&redis).is_some_and(|holding| holding.worker == worker && holding.begun);
    site.leased().iter().filter(|job| is_begun(job)).filter_map(|job| job.to(&redis)).collect()
}

/// Of how many of them the server has nothing.
fn without_dot(site: &Site, to: &[String]) -> usize {
    let mails = site.smtp.received();
    to.iter().filter(|to| !mails.iter().any(|mail| mail.rcpt_to.contains(to))).count()
}

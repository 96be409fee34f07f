//! Connections to Redis that swallow everything.

use super::{Play, slow};
use crate::crew::Crew;
use crate::fault::FaultLog;
use crate::load::Load;
use crate::report::Report;
use crate::site::through;
use postroom_testkit::PrivateRedis;
use std::time::{Duration, Instant};

const NEXT: Duration = Duration::from_secs(15);
const END: Duration = Duration::from_secs(10);
/// A mail whose mark is written leaves all the same.
const LAST_WORDS: Duration = Duration::from_millis(1_500);

/// A firewall has forgotten them: they stay open and silent, and new ones pass.
pub(super) async fn black_hole(play: Play, mut report: Report) -> Report {
    let redis = PrivateRedis::start_tcp().await;
    let (proxy, url) = through(&redis);
    let site = play.site(redis, Some(url)).await;
    slow(&site, Duration::from_millis(200));
    let mut load = Load::new(&site);
    load.bulk(play.scale.pick(4_000, 1_500), &[]).await;
    let mut crew = Crew::workers(&site, 2, 10).await;
    let mut log = FaultLog::new();
    tokio::time::sleep(Duration::from_secs(1)).await;

    log.begin(&site, "connections to Redis swallow everything").await;
    let start = Instant::now();
    proxy.black_hole_existing();
    tokio::time::sleep(LAST_WORDS).await;
    let next = next_after(&site.smtp, start + LAST_WORDS, start + 3 * NEXT).await;
    log.end();
    report.within("the next mail left", NEXT, next.map(|at| at - start));
    tokio::time::sleep(Duration::from_secs(2)).await;

    log.begin(&site, "the same, and SIGTERM to one worker").await;
    proxy.black_hole_existing();
    let start = Instant::now();
    crew.terminate(0);
    let ended = crew.ended(0, 4 * END).await;
    report.within("SIGTERM was honoured", END, ended.map(|_| start.elapsed()));
    log.end();
    crew.replace(0);

    let account = play.close(&mut report, &site, &crew, &load, &log).await;
    report.at_most("duplicates", 0, account.duplicates);
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

//! Clocks that are wrong.

use super::redis::nothing_by_mistake;
use super::{Play, slow};
use crate::crew::{Crew, Post};
use crate::fault::FaultLog;
use crate::load::{Load, recipient};
use crate::report::Report;
use postroom_testkit::{FakeClock, PrivateRedis};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 10;

/// An hour forward with mail under way, and an hour back.
pub(super) async fn of_redis(play: Play, mut report: Report) -> Report {
    let clock = FakeClock::new("+0");
    let redis = PrivateRedis::builder().clock(&clock).start().await;
    let site = play.site(redis, None).await;
    slow(&site, Duration::from_millis(200));
    let mut load = Load::new(&site);
    load.bulk(play.scale.pick(7_000, 1_500), &[]).await;
    let crew = Crew::workers(&site, 3, CONNECTIONS).await;
    let mut log = FaultLog::new();
    for (what, offset) in [("the clock of Redis an hour forward", "+1h"), ("the clock of Redis an hour back", "+0")] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        log.begin(&site, what).await;
        clock.set(offset);
        tokio::time::sleep(play.scale.lease().mul_f64(1.2)).await;
        log.end();
    }
    nothing_by_mistake(play, &mut report, &site, &crew, &load, &log).await;
    report
}

/// One worker an hour ahead, one an hour behind, one right: none claims too early or takes another's work for lost.
pub(super) async fn of_workers(play: Play, mut report: Report) -> Report {
    let (ahead, behind) = (FakeClock::new("+1h"), FakeClock::new("-1h"));
    let site = play.site(PrivateRedis::start().await, None).await;
    slow(&site, Duration::from_millis(200));
    let mut load = Load::new(&site);
    let posts = [ahead.envs(), behind.envs(), Vec::new()].map(|env| Post::worker(CONNECTIONS).with(env));
    let crew = Crew::start(&site, posts.into()).await;
    let wait = play.scale.seconds(20.0, 5.0);
    let due = Instant::now() + wait;
    let (_, first) = load.bulk(play.scale.pick(500, 100), &["--in", &format!("{}ms", wait.as_millis())]).await;
    let later: Vec<String> = (first..load.len()).map(recipient).collect();
    load.bulk(play.scale.pick(4_500, 1_000), &[]).await;
    let mut log = FaultLog::new();
    log.begin(&site, "clocks of two workers wrong by an hour").await;
    log.end();
    nothing_by_mistake(play, &mut report, &site, &crew, &load, &log).await;
    let mails = site.smtp.received();
    let is_early = |to: &String| mails.iter().any(|mail| mail.rcpt_to.contains(to) && mail.at < due);
    report.at_most("sent before they were due", 0, later.iter().filter(|to| is_early(to)).count());
    report
}

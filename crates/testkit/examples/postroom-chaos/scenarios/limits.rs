//! A limit that all workers hold, while they are killed and others come.

use super::Play;
use crate::account::Account;
use crate::crew::Crew;
use crate::load::Load;
use crate::report::Report;
use postroom_testkit::{Action, Fault, Phase, PrivateRedis};
use std::time::{Duration, Instant};

const RATE: usize = 50;
const WORKERS: usize = 4;
const CONNECTIONS: usize = 10;
const KILLS: u32 = 5;
const SECOND: Duration = Duration::from_secs(1);

/// Four workers, one of them killed and another started every few seconds; a server that answers after a random time.
pub(super) async fn held(play: Play, mut report: Report) -> Report {
    let length = play.scale.seconds(60.0, 12.0);
    let site = play.site(PrivateRedis::start().await, None).await;
    site.redis().ask(&["HSET", "{chaos:system}:limits", "transport.default", &format!("{RATE}/s")]);
    site.smtp.fault(Fault::at(Phase::Dot, Action::DelayUpTo(Duration::from_millis(50))));
    let expected = RATE * usize::try_from(length.as_secs()).unwrap_or(0);
    let mut load = Load::new(&site);
    load.bulk(expected + expected / 10, &[]).await;
    let mut crew = Crew::workers(&site, WORKERS, CONNECTIONS).await;
    site.smtp.wait_for(1, play.scale.patience()).await;
    let start = Instant::now();
    for turn in 0..KILLS {
        tokio::time::sleep(length / (KILLS + 1)).await;
        let victim = usize::try_from(turn).unwrap_or(0) % WORKERS;
        report.note(format!("kill -9 of {}", crew.name(victim)));
        crew.kill(victim);
        crew.replace(victim);
    }
    tokio::time::sleep(length.saturating_sub(start.elapsed())).await;
    let at: Vec<Instant> = site.smtp.received().iter().map(|mail| mail.at).collect();
    let in_time = at.iter().filter(|at| **at < start + length).count();
    // Beyond it the one that a second begins with, and one that was late. The quick run is one of many on a machine with much to do.
    report.at_most("mails in any second", RATE + play.scale.pick(2, 15), most_in_a_second(&at));
    let share = play.scale.pick(97, 30);
    report.check(format!("at least {share} % of {expected} in {length:?}"), in_time, in_time * 100 >= expected * share);
    // So few are under way at such a pace that a kill seldom hits many: what counts here is the pace.
    let account = Account::settled(&site, &load, play.scale.patience()).await;
    report.balance(&account);
    play.tell_logs(&mut report, &crew);
    report
}

/// The most mails that any stretch of a second saw; they are in the order in which they came.
pub(super) fn most_in_a_second(at: &[Instant]) -> usize {
    let mut sorted = at.to_vec();
    sorted.sort();
    let within = |place: usize| sorted[place..].iter().take_while(|at| **at < sorted[place] + SECOND).count();
    (0..sorted.len()).map(within).max().unwrap_or(0)
}

//! Limits that hold, and whom they keep waiting.

use super::Play;
use crate::account::Account;
use crate::crew::{Crew, Post};
use crate::load::Load;
use crate::report::Report;
use crate::site::Site;
use postroom_testkit::{Action, FakeSmtp, PrivateRedis};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a gap may lack: the time from the mark to the server differs from mail to mail.
const JITTER: Duration = Duration::from_millis(10);
const URGENT: usize = 5;

/// One mail each five seconds in a bulk, while its worker is stopped once and killed once.
pub(super) async fn bulk_delay(play: Play, mut report: Report) -> Report {
    let (delay, mails) = (play.scale.pick("5s", "1s"), 8);
    let site = play.site(PrivateRedis::start().await, None).await;
    let mut crew = Crew::workers(&site, 1, 10).await;
    let mut load = Load::new(&site);
    load.bulk(mails, &["--delay", delay]).await;
    let patience = play.scale.seconds(60.0, 30.0);
    arrived(&site, 2, patience).await;
    crew.terminate(0);
    crew.ended(0, patience).await;
    crew.replace(0);
    arrived(&site, 4, patience).await;
    crew.kill(0);
    crew.replace(0);
    let arrivals = arrived(&site, mails, patience).await;
    let least = arrivals.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or_default();
    let spacing = play.scale.seconds(5.0, 1.0) - JITTER;
    report.check(format!("all {mails} arrive"), arrivals.len(), arrivals.len() == mails);
    report.check(format!("each gap is at least {spacing:?}"), format!("{least:?}"), least >= spacing);
    play.tell_logs(&mut report, &crew);
    report
}

/// Two mails a second, a newsletter that waits, and urgent mail of another queue and another worker.
pub(super) async fn urgent_limited(play: Play, mut report: Report) -> Report {
    let site = Site::limited(play.setup(PrivateRedis::start().await), "2/s").await;
    let of_queue = |queue: &str| {
        let mut post = Post::worker(10);
        post.args.extend(["--queues".to_owned(), queue.to_owned()]);
        post
    };
    let crew = Crew::start(&site, vec![of_queue("bulk"), of_queue("emails")]).await;
    let mut load = Load::new(&site);
    load.bulk(play.scale.pick(10_000, 500), &[]).await;
    arrived(&site, 3, play.scale.patience()).await;
    let mut longest = Some(Duration::ZERO);
    for turn in 0..URGENT {
        tokio::time::sleep(Duration::from_millis(700 + 130 * turn as u64)).await;
        let asked = Instant::now();
        let to = load.send(&["--priority", "0"]).await.expect("the urgent mail is taken");
        let at = super::crowd::arrival(&site.smtp, &to, asked + Duration::from_secs(30)).await;
        longest = longest.max(at.map(|at| at - asked)).filter(|_| at.is_some());
    }
    report.within("each urgent mail left", play.scale.seconds(1.0, 4.0), longest);
    let arrivals: Vec<Instant> = site.smtp.received().iter().map(|mail| mail.at).collect();
    let most = super::limits::most_in_a_second(&arrivals);
    report.at_most("mails in any second", 3, most);
    play.tell_logs(&mut report, &crew);
    report
}

/// A server that takes so many a second and refuses what is beyond, in each of the three ways that servers do.
pub(super) async fn server_rate(play: Play, mut report: Report) -> Report {
    const RATE: usize = 50;
    let mails = play.scale.pick(1_000, 500);
    for (code, words) in [
        (450, "4.7.0 Transmit rate limit exceeded"),
        (454, "4.7.0 Throttling failure: Maximum sending rate exceeded."),
        (421, "4.7.0 Our system has detected an unusual rate of mail, try again later"),
    ] {
        let refusal = if code == 421 { Action::reply_and_close(code, words) } else { Action::reply(code, words) };
        let smtp = FakeSmtp::builder().rate(RATE, refusal).start().await;
        let site = Site::on(play.setup(PrivateRedis::start().await), smtp).await;
        let mut load = Load::new(&site);
        load.bulk(mails, &[]).await;
        let crew = Crew::workers(&site, 2, 10).await;
        let arrivals = arrived(&site, mails, play.scale.patience()).await;
        let late: Vec<_> = arrivals.iter().filter(|at| **at - arrivals[0] >= Duration::from_secs(5)).collect();
        let a_second = late.len() as f64 / (*late[late.len() - 1] - arrivals[0] - Duration::from_secs(5)).as_secs_f64();
        let least = RATE as f64 * play.scale.pick(0.9, 0.4);
        let required = format!("after {code}: at least {least} a second once 5 s have passed");
        report.check(required, format!("{a_second:.1}"), a_second >= least);
        let account = Account::settled(&site, &load, play.scale.patience()).await;
        report.check(
            format!("all {mails} are sent, 0 failed"),
            account.sent,
            account.sent == mails && account.failed == 0,
        );
        play.tell_logs(&mut report, &crew);
    }
    report
}

/// A server that takes three connections and turns the fourth away.
pub(super) async fn server_connections(play: Play, mut report: Report) -> Report {
    const MOST: usize = 3;
    let mails = play.scale.pick(5_000, 600);
    let smtp = FakeSmtp::builder().max_connections(MOST).start().await;
    let site = Site::on(play.setup(PrivateRedis::start().await), smtp).await;
    super::slow(&site, Duration::from_millis(10));
    let mut load = Load::new(&site);
    load.bulk(mails, &[]).await;
    let crew = Crew::workers(&site, 2, 10).await;
    arrived(&site, mails, play.scale.patience()).await;
    let account = Account::settled(&site, &load, play.scale.patience()).await;
    report.check(format!("all {mails} are sent, 0 failed"), account.sent, account.sent == mails && account.failed == 0);
    report.at_most(
        "connections at once, the one that was turned away among them",
        MOST + 1,
        site.smtp.peak_connections(),
    );
    let turned_away = crew.logs().lines().filter(|line| line.contains("Too many connections")).count();
    report.note(format!("{} connections were made, {turned_away} refusals are told", site.smtp.connections()));
    play.tell_logs(&mut report, &crew);
    report
}

/// Waits until so many mails have come, or the patience ends; when each came.
async fn arrived(site: &Arc<Site>, number: usize, patience: Duration) -> Vec<Instant> {
    let end = Instant::now() + patience;
    while site.smtp.received_count() < number && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut arrivals: Vec<Instant> = site.smtp.received().iter().map(|mail| mail.at).collect();
    arrivals.sort();
    arrivals
}

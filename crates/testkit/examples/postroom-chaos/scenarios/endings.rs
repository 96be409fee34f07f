//! Processes that are told to end, and everything killed at once.

use super::{Play, slow};
use crate::args::OnUnknown;
use crate::crew::{Crew, Post};
use crate::fault::FaultLog;
use crate::load::{Load, recipient};
use crate::report::Report;
use crate::site::Site;
use postroom_testkit::{Action, Fault, Phase, PrivateRedis};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// SIGTERM with sends of 1 to 60 s under way, SIGKILL after 30 s: as a platform stops a worker.
pub(super) async fn sigterm(play: Play, mut report: Report) -> Report {
    let number = play.scale.pick(200, 60);
    let (shortest, longest) = (play.scale.seconds(1.0, 0.2), play.scale.seconds(60.0, 9.0));
    let (patience, grace) = (play.scale.seconds(25.0, 3.0), play.scale.seconds(30.0, 6.0));
    let site = play.site(PrivateRedis::start().await, None).await;
    let mut load = Load::new(&site);
    hold_up(&site, number, shortest, longest);
    load.bulk(number, &[]).await;
    let timeout = format!("{}ms", patience.as_millis());
    let post = Post::worker(number).with(vec![("SHUTDOWN_TIMEOUT".to_owned(), timeout)]);
    let mut crew = Crew::start(&site, vec![post]).await;
    let started = Instant::now();
    let mut log = FaultLog::new();
    let all = Instant::now() + Duration::from_secs(10);
    while site.under_way() + site.smtp.received_count() < number && Instant::now() < all {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    log.begin(&site, "SIGTERM").await;
    crew.terminate(0);
    let start = Instant::now();
    let status = crew.ended(0, grace).await;
    report.within("it ended by itself", grace, status.map(|_| start.elapsed()));
    crew.kill(0);
    log.end();
    let (held_back, begun) = left_over(&site);
    report.at_most("not begun and not back in the queue", 0, held_back);
    report.at_most("begun and not settled", 0, begun);
    let before = site.smtp.received_count();
    site.smtp.clear_faults();
    crew.replace(0);
    // The server goes on with what it had read when the worker left.
    tokio::time::sleep((started + longest).saturating_duration_since(Instant::now())).await;
    let account = play.close(&mut report, &site, &crew, &load, &log).await;
    report.note(format!("{before} mails were at the server when it had ended"));
    match play.on_unknown {
        OnUnknown::Hold => report.at_most("duplicates", 0, account.duplicates),
        OnUnknown::Resend => report.at_most("held", 0, account.held.len()),
    }
    let settled = account.sent.max(account.reached.union(&account.held).count());
    report.check("each is sent, or held", settled, settled == number);
    report
}

/// Makes each mail take another time: every second one before its content is asked for, the others after the server has
/// it.
fn hold_up(site: &Site, number: usize, shortest: Duration, longest: Duration) {
    for n in 0..number {
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let length = shortest + (longest - shortest).mul_f64(n as f64 / number as f64);
        let phase = if n % 2 == 0 { Phase::Rcpt } else { Phase::Dot };
        site.smtp.fault(Fault::at(phase, Action::Delay(length)).recipient(&recipient(n)));
    }
}

/// The jobs that nobody works on and that are still leased: without and with a mark.
fn left_over(site: &Site) -> (usize, usize) {
    let redis = site.redis();
    let holdings: Vec<_> = site.leased().iter().filter_map(|job| job.holding(&redis)).collect();
    let begun = holdings.iter().filter(|holding| holding.begun).count();
    (holdings.len() - begun, begun)
}

/// Of 1,000 scheduled mails 500 are cancelled, and everything is killed while other mail goes out.
pub(super) async fn scheduled_cancelled(play: Play, mut report: Report) -> Report {
    let number = play.scale.pick(1_000, 200);
    let wait = play.scale.seconds(30.0, 9.0);
    let site = play.site(PrivateRedis::start_tcp().await, None).await;
    slow(&site, Duration::from_millis(200));
    let mut load = Load::new(&site);
    let (batch, first) = load.bulk(number, &["--in", &format!("{}ms", wait.as_millis())]).await;
    load.bulk(play.scale.pick(1_500, 400), &[]).await;
    let mut crew = Crew::start(&site, vec![Post::worker(10), Post::worker(10), Post::beat()]).await;
    let cancelled = cancel_half(&site, &batch, first, number).await;
    let mut log = FaultLog::new();
    log.begin(&site, "everything killed").await;
    (0..crew.len()).for_each(|index| crew.kill(index));
    site.redis().kill();
    site.redis().start_again().await;
    (0..crew.len()).for_each(|index| crew.replace(index));
    log.end();
    let account = play.close(&mut report, &site, &crew, &load, &log).await;
    let scheduled: BTreeSet<String> = (first..first + number).map(recipient).collect();
    let sent = account.reached.intersection(&scheduled).count();
    report.check(format!("exactly {} of the scheduled are sent", number / 2), sent, sent == number / 2);
    let wrongly = account.reached.intersection(&cancelled).count();
    report.at_most("cancelled ones sent", 0, wrongly);
    if play.on_unknown == OnUnknown::Hold {
        report.at_most("duplicates", 0, account.duplicates);
    }
    report
}

/// Every second one, by its id.
async fn cancel_half(site: &Site, batch: &str, first: usize, number: usize) -> BTreeSet<String> {
    let wanted: BTreeSet<String> = (first..first + number).step_by(2).map(recipient).collect();
    let jobs = site.json(&["list", "--batch", batch, "--limit", "100000"]).await;
    let to = |job: &serde_json::Value| job["to"][0].as_str().unwrap_or_default().to_owned();
    let ids: Vec<String> = jobs
        .iter()
        .filter(|job| wanted.contains(&to(job)))
        .map(|job| job["id"].as_str().unwrap_or_default().to_owned())
        .collect();
    let args: Vec<&str> = std::iter::once("cancel").chain(ids.iter().map(String::as_str)).collect();
    let output = site.postroom(&args).await;
    assert!(output.status.success(), "cancel: {}", String::from_utf8_lossy(&output.stderr));
    wanted
}

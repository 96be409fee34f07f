//! Content that is made to stop a worker.

use super::Play;
use crate::crew::{Crew, Post};
use crate::hostile::{self, Hostile};
use crate::report::Report;
use crate::site::{Setup, Site};
use postroom_testkit::{PrivateRedis, Received};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The most that a worker may take.
const MEMORY_MB: u64 = 300;
const SHUTDOWN: Duration = Duration::from_secs(5);
/// What is shown is that leases are renewed, not how short they may be on a machine with much else to do.
const LEASE: Duration = Duration::from_secs(15);

/// Forty shapes of HTML and templates beside urgent mail; then a stop while some of them are being made.
pub(super) async fn hostile(play: Play, mut report: Report) -> Report {
    let setup = play.setup(PrivateRedis::start().await);
    let site = Site::new(Setup { lease: LEASE, ..setup }).await;
    let all = hostile::all(play.scale.pick(15 << 20, 1 << 20));
    all.iter().for_each(|hostile| write_template(&site, hostile));
    let post = Post::worker(10).with(vec![("SHUTDOWN_TIMEOUT".to_owned(), format!("{}s", SHUTDOWN.as_secs()))]);
    let mut crew = Crew::start(&site, vec![post; 2]).await;
    let batch = enqueue_firing(&site, &all).await;
    let urgent = urgent_load(&play, &site, &batch).await;
    let (p99, longest, unsent) = latencies(&site, &urgent).await;
    report.note(format!("{} urgent mails beside {} hostile ones", urgent.len(), all.len()));
    report.at_most("urgent mails that did not leave", 0, unsent);
    report.within("99 of 100 urgent mails left", play.scale.seconds(1.0, 4.0), p99);
    report.note(format!("the slowest took {:.2} s", longest.unwrap_or_default().as_secs_f64()));
    outcomes(&play, &mut report, &site, &batch, &all).await;
    // A renewal that comes right after a mail is settled finds no lease either: only what somebody else had counts.
    let lost = crew.logs().lines().filter(|line| line.contains("no longer this worker's to settle")).count();
    let (queued, doubt) = crew.rescued();
    report.at_most("leases lost", 0, lost + usize::try_from(queued + doubt).unwrap_or(usize::MAX));
    let peak = (0..crew.len()).map(|worker| crew.peak_mb(worker)).max().unwrap_or_default();
    report.check(format!("no worker takes more than {MEMORY_MB} MB"), format!("{peak} MB"), peak <= MEMORY_MB);
    stop(&play, &mut report, &site, &mut crew).await;
    play.tell_logs(&mut report, &crew);
    report
}

fn write_template(site: &Site, hostile: &Hostile) {
    if let Some(html) = &hostile.template {
        site.template(hostile.name, html);
    }
}

/// All of them as one batch; on a machine that has no templates, so that they are found out by a worker only.
async fn enqueue_firing(site: &Arc<Site>, all: &[Hostile]) -> String {
    let rows = all.iter().enumerate().fold(String::new(), |mut rows, (number, hostile)| {
        let mut mail = hostile.mail.clone();
        mail["to"] = Value::from(recipient(number));
        let _ = writeln!(rows, "{mail}");
        rows
    });
    let rows = site.file("hostile.jsonl", &rows);
    let mut command = tokio::process::Command::from(site.command("postroom"));
    let output = command.args(["bulk", "--jsonl"]).arg(&rows).env("TEMPLATES_DIR", "none").output().await;
    let output = output.expect("postroom runs");
    assert!(output.status.success(), "bulk: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn recipient(number: usize) -> String {
    format!("hostile{number}@chaos.example")
}

/// Twenty urgent mails a second until no hostile one is left; their recipients, each with when it was handed over.
async fn urgent_load(play: &Play, site: &Arc<Site>, batch: &str) -> BTreeMap<String, Instant> {
    let (pause, least) = (play.scale.seconds(0.05, 0.5), play.scale.pick(400, 20));
    let end = Instant::now() + play.scale.patience();
    let (mut sends, mut urgent) = (JoinSet::new(), BTreeMap::new());
    let mut tick = tokio::time::interval(pause);
    loop {
        tick.tick().await;
        let number = urgent.len();
        let to = format!("urgent{number}@chaos.example");
        urgent.insert(to.clone(), Instant::now());
        let site_of_it = Arc::clone(site);
        sends.spawn(async move {
            let args = ["send", "--priority", "0", "--to", &to, "--subject", "Urgent", "--text", "It is urgent."];
            let output = site_of_it.postroom(&args).await;
            assert!(output.status.success(), "send: {}", String::from_utf8_lossy(&output.stderr));
        });
        let over = || Instant::now() > end;
        if number % 20 == 19 && number >= least && (over() || is_done(site, batch).await) {
            sends.join_all().await;
            return urgent;
        }
    }
}

async fn is_done(site: &Site, batch: &str) -> bool {
    let told = site.json_or_none(&["status", batch]).await;
    told.is_some_and(|told| told["done"] == Value::Bool(true))
}

/// What 99 of 100 took at most, the longest, and how many did not arrive.
async fn latencies(site: &Site, urgent: &BTreeMap<String, Instant>) -> (Option<Duration>, Option<Duration>, usize) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let mails = site.smtp.received();
        let took = |mail: &Received| {
            let handed_over = mail.rcpt_to.first().and_then(|to| urgent.get(to))?;
            Some(mail.at.saturating_duration_since(*handed_over))
        };
        let mut took: Vec<Duration> = mails.iter().filter_map(took).collect();
        took.sort_unstable();
        if took.len() >= urgent.len() || Instant::now() > end {
            let p99 = took.len().checked_sub(1 + took.len() / 100).and_then(|place| took.get(place)).copied();
            return (p99, took.last().copied(), urgent.len().saturating_sub(took.len()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Each hostile mail is sent, or has failed and says why.
async fn outcomes(play: &Play, report: &mut Report, site: &Site, batch: &str, all: &[Hostile]) {
    let end = Instant::now() + play.scale.patience();
    while !is_done(site, batch).await && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let jobs = site.json(&["list", "--batch", batch, "--limit", "1000"]).await;
    let (mut sent, mut failed, mut others) = (0, 0, Vec::new());
    for job in &jobs {
        let number = |to: &str| to.trim_start_matches("hostile").split('@').next()?.parse::<usize>().ok();
        let name =
            job["to"][0].as_str().and_then(number).and_then(|number| all.get(number)).map_or("?", |one| one.name);
        let why = job["error"]["message"].as_str().unwrap_or_default();
        match job["state"].as_str() {
            Some("sent") => sent += 1,
            Some("failed") if !why.is_empty() => {
                failed += 1;
                report.note(format!("{name}: {why}"));
            }
            state => others.push(format!("{name}: {state:?} {why}")),
        }
    }
    let seen = format!("{sent} sent, {failed} failed, {others:?}");
    report.check(format!("each of {} is sent, or failed with a reason", all.len()), seen, {
        others.is_empty() && sent + failed == all.len() && sent > 0
    });
}

/// SIGTERM while mails are being made that would take for ever.
async fn stop(play: &Play, report: &mut Report, site: &Arc<Site>, crew: &mut Crew) {
    let endless: Vec<Hostile> = (0..8).flat_map(|_| hostile::endless()).collect();
    enqueue_firing(site, &endless).await;
    let end = Instant::now() + play.scale.patience();
    while site.under_way() < 2 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if site.under_way() == 0 {
        report.void("no mail was being made when the workers were told to end");
    }
    let start = Instant::now();
    (0..crew.len()).for_each(|worker| crew.terminate(worker));
    let limit = SHUTDOWN + play.scale.seconds(4.0, 15.0);
    for worker in 0..crew.len() {
        let status = crew.ended(worker, limit.saturating_sub(start.elapsed())).await;
        report.within(&format!("worker {} ended by itself", worker + 1), limit, status.map(|_| start.elapsed()));
        crew.kill(worker);
    }
    report.at_most("mails left with nobody", 0, site.leased().len());
}

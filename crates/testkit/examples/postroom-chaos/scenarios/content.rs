//! Content with unbounded rendering time or memory.

use super::ScenarioRun;
use crate::hostile_mail::{self, HostileMail};
use crate::processes::{ProcessGroup, ProcessSpec};
use crate::report::Report;
use crate::testbed::{Setup, Testbed};
use postroom_testkit::{PrivateRedis, Received};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Maximum memory of a worker.
const MEMORY_MB: u64 = 300;
const SHUTDOWN: Duration = Duration::from_secs(5);
/// Lease with a margin for a busy machine. The scenario tests renewal, not a minimum lease.
const LEASE: Duration = Duration::from_secs(15);

/// Sends about forty hostile HTML documents and templates beside urgent mail, then terminates the
/// workers while such mails are rendered.
pub(super) async fn hostile(run: ScenarioRun, mut report: Report) -> Report {
    let setup = run.setup(PrivateRedis::start().await);
    let testbed = Testbed::new(Setup { lease: LEASE, ..setup }).await;
    let all = hostile_mail::all(run.scale.pick(15 << 20, 1 << 20));
    all.iter().for_each(|hostile| write_template(&testbed, hostile));
    let spec = ProcessSpec::worker(10).with(vec![("SHUTDOWN_TIMEOUT".to_owned(), format!("{}s", SHUTDOWN.as_secs()))]);
    let mut processes = ProcessGroup::start(&testbed, vec![spec; 2]).await;
    let batch = enqueue(&testbed, &all).await;
    let urgent = urgent_load(&run, &testbed, &batch).await;
    let (p99, longest, unsent) = latencies(&testbed, &urgent).await;
    report.note(format!("{} urgent mails beside {} hostile ones", urgent.len(), all.len()));
    report.at_most("urgent mails not sent", 0, unsent);
    report.within("99 of 100 urgent mails arrive", run.scale.seconds(1.0, 4.0), p99);
    report.note(format!("the slowest urgent mail took {:.2} s", longest.unwrap_or_default().as_secs_f64()));
    outcomes(&run, &mut report, &testbed, &batch, &all).await;
    // Only settlements refused for a lost lease count. A renewal directly after a settlement also
    // finds no lease.
    let lost = processes.logs().lines().filter(|line| line.contains("no longer this worker's to settle")).count();
    let (queued, doubt) = processes.rescued();
    report.at_most("leases lost", 0, lost + usize::try_from(queued + doubt).unwrap_or(usize::MAX));
    let peak = (0..processes.len()).map(|worker| processes.peak_mb(worker)).max().unwrap_or_default();
    report.check(format!("no worker uses more than {MEMORY_MB} MB"), format!("{peak} MB"), peak <= MEMORY_MB);
    stop(&run, &mut report, &testbed, &mut processes).await;
    run.note_logs(&mut report, &processes);
    report
}

fn write_template(testbed: &Testbed, hostile: &HostileMail) {
    if let Some(html) = &hostile.template {
        testbed.template(hostile.name, html);
    }
}

/// Enqueues all mails as one batch. The command has no templates, so that only workers render them.
async fn enqueue(testbed: &Arc<Testbed>, all: &[HostileMail]) -> String {
    let rows = all.iter().enumerate().fold(String::new(), |mut rows, (number, hostile)| {
        let mut mail = hostile.mail.clone();
        mail["to"] = Value::from(recipient(number));
        let _ = writeln!(rows, "{mail}");
        rows
    });
    let rows = testbed.file("hostile.jsonl", &rows);
    let mut command = tokio::process::Command::from(testbed.command("postroom"));
    let output = command.args(["bulk", "--jsonl"]).arg(&rows).env("TEMPLATES_DIR", "none").output().await;
    let output = output.expect("postroom runs");
    assert!(output.status.success(), "bulk: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn recipient(number: usize) -> String {
    format!("hostile{number}@chaos.example")
}

/// Sends urgent mails at a fixed rate until the hostile batch is done. Returns their recipients
/// with the times of enqueueing.
async fn urgent_load(run: &ScenarioRun, testbed: &Arc<Testbed>, batch: &str) -> BTreeMap<String, Instant> {
    let (pause, least) = (run.scale.seconds(0.05, 0.5), run.scale.pick(400, 20));
    let end = Instant::now() + run.scale.settle_limit();
    let (mut sends, mut urgent) = (JoinSet::new(), BTreeMap::new());
    let mut tick = tokio::time::interval(pause);
    loop {
        tick.tick().await;
        let number = urgent.len();
        let to = format!("urgent{number}@chaos.example");
        urgent.insert(to.clone(), Instant::now());
        let testbed_of_send = Arc::clone(testbed);
        sends.spawn(async move {
            let args = ["send", "--priority", "0", "--to", &to, "--subject", "Urgent", "--text", "It is urgent."];
            let output = testbed_of_send.postroom(&args).await;
            assert!(output.status.success(), "send: {}", String::from_utf8_lossy(&output.stderr));
        });
        let over = || Instant::now() > end;
        if number % 20 == 19 && number >= least && (over() || is_done(testbed, batch).await) {
            sends.join_all().await;
            return urgent;
        }
    }
}

async fn is_done(testbed: &Testbed, batch: &str) -> bool {
    let status = testbed.json_or_none(&["status", batch]).await;
    status.is_some_and(|status| status["done"] == Value::Bool(true))
}

/// Returns the 99th percentile and the maximum of the latencies, and the number of mails that did
/// not arrive.
async fn latencies(
    testbed: &Testbed,
    urgent: &BTreeMap<String, Instant>,
) -> (Option<Duration>, Option<Duration>, usize) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let mails = testbed.smtp.received();
        let took = |mail: &Received| {
            let enqueued_at = mail.rcpt_to.first().and_then(|to| urgent.get(to))?;
            Some(mail.at.saturating_duration_since(*enqueued_at))
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

/// Checks that each hostile mail is sent, or failed with a reason.
async fn outcomes(run: &ScenarioRun, report: &mut Report, testbed: &Testbed, batch: &str, all: &[HostileMail]) {
    let end = Instant::now() + run.scale.settle_limit();
    while !is_done(testbed, batch).await && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let jobs = testbed.json(&["list", "--batch", batch, "--limit", "1000"]).await;
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
    let observed = format!("{sent} sent, {failed} failed, {others:?}");
    report.check(format!("each of {} is sent, or failed with a reason", all.len()), observed, {
        others.is_empty() && sent + failed == all.len() && sent > 0
    });
}

/// Terminates the workers while they render endless mails.
async fn stop(run: &ScenarioRun, report: &mut Report, testbed: &Arc<Testbed>, processes: &mut ProcessGroup) {
    let endless: Vec<HostileMail> = (0..8).flat_map(|_| hostile_mail::endless()).collect();
    enqueue(testbed, &endless).await;
    let end = Instant::now() + run.scale.settle_limit();
    while testbed.sending_count() < 2 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if testbed.sending_count() == 0 {
        report.void("no mail was being rendered at SIGTERM");
    }
    let start = Instant::now();
    (0..processes.len()).for_each(|worker| processes.terminate(worker));
    let limit = SHUTDOWN + run.scale.seconds(4.0, 15.0);
    for worker in 0..processes.len() {
        let status = processes.wait(worker, limit.saturating_sub(start.elapsed())).await;
        report.within(&format!("worker {} ends after SIGTERM", worker + 1), limit, status.map(|_| start.elapsed()));
        processes.kill(worker);
    }
    report.at_most("leases left after the workers ended", 0, testbed.leased().len());
}

//! Many mails that are due in the same second.

use super::ScenarioRun;
use crate::audit::Audit;
use crate::load::Load;
use crate::processes::ProcessGroup;
use crate::report::Report;
use crate::script_monitor::ScriptMonitor;
use postroom_testkit::{FakeSmtp, PrivateRedis};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Maximum number of jobs that a script call may touch.
const MAX_TOUCHED: usize = 200;
/// Number of rows per file.
const PORTION: usize = 100_000;

/// Schedules a million mails and an urgent one for the same second.
pub(super) async fn million_due(run: ScenarioRun, mut report: Report) -> Report {
    let number = run.scale.pick(1_000_000, 5_000);
    let testbed = run.testbed(PrivateRedis::start_tcp().await, None).await;
    let processes = ProcessGroup::workers(&testbed, 2, 10).await;
    let mut load = Load::new(&testbed);
    let due = SystemTime::now() + run.scale.seconds(300.0, 12.0);
    let at = rfc3339(due);
    while load.len() < number {
        load.bulk(PORTION.min(number), &["--at", &at]).await;
    }
    let urgent = load.send(&["--priority", "0", "--at", &at]).await.expect("the urgent mail is accepted");
    // `--at` was rounded down to a second.
    let left = until(due).saturating_sub(Duration::from_nanos(u64::from(subsecond_nanos(due))));
    report.note(format!(
        "{number} mails and an urgent one were enqueued {:.1} s before they were due",
        left.as_secs_f64()
    ));
    if left < Duration::from_millis(500) {
        report.void("enqueueing took too long");
    }
    tokio::time::sleep(left).await;
    let due = Instant::now();
    let monitor = ScriptMonitor::over(testbed.redis().addr(), run.scale.seconds(5.0, 2.0));
    let arrived = arrival(&testbed.smtp, &urgent, due + Duration::from_secs(60)).await;
    report.within(
        "the urgent mail arrives",
        Duration::from_secs(1),
        arrived.map(|at| at.saturating_duration_since(due)),
    );
    let work = monitor.end().await;
    report.note(format!("{} script calls touched {} jobs", work.calls, work.jobs));
    report.at_most("jobs touched by a script call", MAX_TOUCHED, work.most);
    if work.jobs == 0 {
        report.void("no script touched a job");
    }
    if run.scale.pick(false, true) {
        let audit = Audit::settled(&testbed, &load, run.scale.settle_limit()).await;
        report.check_audit(&audit);
        report.at_most("duplicates", 0, audit.duplicates);
        report.check("all mails are sent", audit.sent, audit.sent == load.len());
    }
    run.note_logs(&mut report, &processes);
    report
}

pub(super) async fn arrival(smtp: &FakeSmtp, to: &str, limit: Instant) -> Option<Instant> {
    loop {
        let mails = smtp.received();
        let found = mails.iter().find(|mail| mail.rcpt_to.iter().any(|rcpt| rcpt == to)).map(|mail| mail.at);
        if found.is_some() || Instant::now() > limit {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn until(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::now()).unwrap_or_default()
}

fn subsecond_nanos(time: SystemTime) -> u32 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos())
}

/// Formats a time in UTC, rounded down to a second, with the program `date`.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let date = |args: &[&str]| {
        let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).args(args).output().ok();
        output.filter(|output| output.status.success())
    };
    // `date` of macOS has other options.
    let output = date(&["-d", &format!("@{seconds}")]).or_else(|| date(&["-r", &seconds.to_string()]));
    String::from_utf8_lossy(&output.expect("date runs").stdout).trim().to_owned()
}

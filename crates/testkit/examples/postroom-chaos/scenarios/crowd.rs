//! A crowd that is due at the same second.

use super::Play;
use crate::account::Account;
use crate::crew::Crew;
use crate::load::Load;
use crate::report::Report;
use crate::work::Watch;
use postroom_testkit::{FakeSmtp, PrivateRedis};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many jobs a script may touch in one call.
const MOST_WORK: usize = 200;
/// In one file of rows.
const PORTION: usize = 100_000;

/// A million mails and an urgent one.
pub(super) async fn million_due(play: Play, mut report: Report) -> Report {
    let number = play.scale.pick(1_000_000, 5_000);
    let site = play.site(PrivateRedis::start_tcp().await, None).await;
    let crew = Crew::workers(&site, 2, 10).await;
    let mut load = Load::new(&site);
    let due = SystemTime::now() + play.scale.seconds(300.0, 12.0);
    let at = rfc3339(due);
    while load.len() < number {
        load.bulk(PORTION.min(number), &["--at", &at]).await;
    }
    let urgent = load.send(&["--priority", "0", "--at", &at]).await.expect("the urgent mail is taken");
    // `--at` was told the second below.
    let left = until(due).saturating_sub(Duration::from_nanos(u64::from(subsecond_nanos(due))));
    report.note(format!("{number} mails and an urgent one were in {:.1} s before they were due", left.as_secs_f64()));
    if left < Duration::from_millis(500) {
        report.void("putting them in took too long");
    }
    tokio::time::sleep(left).await;
    let due = Instant::now();
    let watch = Watch::over(site.redis().addr(), play.scale.seconds(5.0, 2.0));
    let arrived = arrival(&site.smtp, &urgent, due + Duration::from_secs(60)).await;
    report.within("the urgent mail left", Duration::from_secs(1), arrived.map(|at| at.saturating_duration_since(due)));
    let work = watch.end().await;
    report.note(format!("{} calls of scripts were watched, which touched {} jobs", work.calls, work.jobs));
    report.at_most("jobs touched by a call of a script", MOST_WORK, work.most);
    if work.jobs == 0 {
        report.void("no script was at work");
    }
    if play.scale.pick(false, true) {
        let account = Account::settled(&site, &load, play.scale.patience()).await;
        report.balance(&account);
        report.at_most("duplicates", 0, account.duplicates);
        report.check("all are sent", account.sent, account.sent == load.len());
    }
    play.tell_logs(&mut report, &crew);
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

/// In UTC, to the second below; by the system's own calendar.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let date = |args: &[&str]| {
        let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).args(args).output().ok();
        output.filter(|output| output.status.success())
    };
    // macOS has another date.
    let output = date(&["-d", &format!("@{seconds}")]).or_else(|| date(&["-r", &seconds.to_string()]));
    String::from_utf8_lossy(&output.expect("date runs").stdout).trim().to_owned()
}

//! A crowd that is due at the same second.

use super::Play;
use crate::account::Account;
use crate::crew::Crew;
use crate::load::Load;
use crate::report::Report;
use postroom_testkit::{FakeSmtp, PrivateRedis};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A script that works on 200 jobs takes a few milliseconds; one that took all of them would take seconds.
const LONGEST_SCRIPT: Duration = Duration::from_millis(100);
/// In one file of rows.
const PORTION: usize = 100_000;

/// A million mails and an urgent one.
pub(super) async fn million_due(play: Play, mut report: Report) -> Report {
    let number = play.scale.pick(1_000_000, 5_000);
    let site = play.site(PrivateRedis::start().await, None).await;
    let crew = Crew::workers(&site, 2, 10).await;
    let mut load = Load::new(&site);
    let wait = play.scale.seconds(240.0, 8.0);
    let due = SystemTime::now() + wait;
    let at = rfc3339(due);
    while load.len() < number {
        load.bulk(PORTION.min(number), &["--at", &at]).await;
    }
    let urgent = load.send(&["--priority", "0", "--at", &at]).await.expect("the urgent mail is taken");
    let left = due.duration_since(SystemTime::now()).unwrap_or_default();
    if left < Duration::from_millis(500) {
        report.void(format!("putting {number} mails in took longer than {:.0} s", wait.as_secs_f64()));
    }
    report.note(format!("{number} mails were in {:.1} s before they were due", left.as_secs_f64()));
    let redis = site.redis();
    redis.ask(&["CONFIG", "SET", "slowlog-log-slower-than", "5000"]);
    redis.ask(&["SLOWLOG", "RESET"]);
    // To the whole second, as `--at` has it.
    tokio::time::sleep(left.saturating_sub(Duration::from_millis(u64::from(subsecond_millis(due))))).await;
    let due = Instant::now();
    let arrived = arrival(&site.smtp, &urgent, due + Duration::from_secs(60)).await;
    report.within("the urgent mail left", Duration::from_secs(1), arrived.map(|at| at.saturating_duration_since(due)));
    tokio::time::sleep(play.scale.seconds(20.0, 3.0)).await;
    let scripts = redis.ask(&["SLOWLOG", "GET", "1000"]);
    let longest = longest(&scripts);
    report.within("each script was done", LONGEST_SCRIPT, Some(longest));
    if play.scale.pick(false, true) {
        let account = Account::settled(&site, &load, play.scale.patience()).await;
        report.balance(&account);
        report.at_most("duplicates", 0, account.duplicates);
        report.check("all are sent", account.sent, account.sent == load.len());
    }
    play.tell_logs(&mut report, &crew);
    report
}

async fn arrival(smtp: &FakeSmtp, to: &str, limit: Instant) -> Option<Instant> {
    loop {
        let mails = smtp.received();
        let found = mails.iter().find(|mail| mail.rcpt_to.iter().any(|rcpt| rcpt == to)).map(|mail| mail.at);
        if found.is_some() || Instant::now() > limit {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Of a slow log: entries of id, time, microseconds, command…; commands that are not scripts are not ours to bound.
fn longest(slowlog: &str) -> Duration {
    let lines: Vec<&str> = slowlog.lines().collect();
    let scripts =
        lines.windows(2).filter(|pair| pair[1].eq_ignore_ascii_case("EVALSHA") || pair[1].eq_ignore_ascii_case("EVAL"));
    let micros = scripts.filter_map(|pair| pair[0].parse().ok()).max().unwrap_or(0);
    Duration::from_micros(micros)
}

fn subsecond_millis(time: SystemTime) -> u32 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_millis())
}

/// In UTC, to the second below; by the system's own calendar.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let output = Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"]).output();
    let output = output.ok().filter(|output| output.status.success()).or_else(|| {
        // macOS has another date.
        Command::new("date").args(["-u", "-r", &seconds.to_string(), "+%Y-%m-%dT%H:%M:%SZ"]).output().ok()
    });
    String::from_utf8_lossy(&output.expect("date runs").stdout).trim().to_owned()
}

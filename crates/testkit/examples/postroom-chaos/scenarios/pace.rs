//! Rate limits, and the mail that they delay.

use super::ScenarioRun;
use crate::audit::Audit;
use crate::load::Load;
use crate::processes::{ProcessGroup, ProcessSpec};
use crate::report::Report;
use crate::testbed::Testbed;
use postroom_testkit::{Action, FakeSmtp, PrivateRedis};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tolerance of a gap, because the time from the mark to the server varies.
const JITTER: Duration = Duration::from_millis(10);
const URGENT: usize = 5;

/// Sends a bulk at one mail per five seconds while its worker is terminated once and killed once.
pub(super) async fn bulk_delay(run: ScenarioRun, mut report: Report) -> Report {
    let (delay, mails) = (run.scale.pick("5s", "1s"), 8);
    let testbed = run.testbed(PrivateRedis::start().await, None).await;
    let mut processes = ProcessGroup::workers(&testbed, 1, 10).await;
    let mut load = Load::new(&testbed);
    load.bulk(mails, &["--delay", delay]).await;
    let limit = run.scale.seconds(60.0, 30.0);
    wait_for_arrivals(&testbed, 2, limit).await;
    processes.terminate(0);
    processes.wait(0, limit).await;
    processes.replace(0);
    wait_for_arrivals(&testbed, 4, limit).await;
    processes.kill(0);
    processes.replace(0);
    let arrivals = wait_for_arrivals(&testbed, mails, limit).await;
    let least = arrivals.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or_default();
    let spacing = run.scale.seconds(5.0, 1.0) - JITTER;
    report.check(format!("all {mails} arrive"), arrivals.len(), arrivals.len() == mails);
    report.check(format!("each gap is at least {spacing:?}"), format!("{least:?}"), least >= spacing);
    run.note_logs(&mut report, &processes);
    report
}

/// Sends urgent mail through another queue and worker, beside a queued newsletter, at a limit of
/// two mails per second.
pub(super) async fn urgent_limited(run: ScenarioRun, mut report: Report) -> Report {
    let testbed = Testbed::limited(run.setup(PrivateRedis::start().await), "2/s").await;
    let of_queue = |queue: &str| {
        let mut spec = ProcessSpec::worker(10);
        spec.args.extend(["--queues".to_owned(), queue.to_owned()]);
        spec
    };
    let processes = ProcessGroup::start(&testbed, vec![of_queue("bulk"), of_queue("emails")]).await;
    let mut load = Load::new(&testbed);
    load.bulk(run.scale.pick(10_000, 500), &[]).await;
    wait_for_arrivals(&testbed, 3, run.scale.settle_limit()).await;
    let mut longest = Some(Duration::ZERO);
    for turn in 0..URGENT {
        tokio::time::sleep(Duration::from_millis(700 + 130 * turn as u64)).await;
        let enqueued_at = Instant::now();
        let to = load.send(&["--priority", "0"]).await.expect("the urgent mail is accepted");
        let at = super::due_at_once::arrival(&testbed.smtp, &to, enqueued_at + Duration::from_secs(30)).await;
        longest = longest.max(at.map(|at| at - enqueued_at)).filter(|_| at.is_some());
    }
    report.within("each urgent mail arrives", run.scale.seconds(1.0, 4.0), longest);
    let arrivals: Vec<Instant> = testbed.smtp.received().iter().map(|mail| mail.at).collect();
    let most = super::limits::most_in_a_second(&arrivals);
    report.at_most("mails in any second", 3, most);
    run.note_logs(&mut report, &processes);
    report
}

/// Sends to a server that refuses mails above its rate, with each of three common replies.
pub(super) async fn server_rate(run: ScenarioRun, mut report: Report) -> Report {
    const RATE: usize = 50;
    let mails = run.scale.pick(1_000, 500);
    for (code, text) in [
        (450, "4.7.0 Transmit rate limit exceeded"),
        (454, "4.7.0 Throttling failure: Maximum sending rate exceeded."),
        (421, "4.7.0 Our system has detected an unusual rate of mail, try again later"),
    ] {
        let refusal = if code == 421 { Action::reply_and_close(code, text) } else { Action::reply(code, text) };
        let smtp = FakeSmtp::builder().rate(RATE, refusal).start().await;
        let testbed = Testbed::on(run.setup(PrivateRedis::start().await), smtp).await;
        let mut load = Load::new(&testbed);
        load.bulk(mails, &[]).await;
        let processes = ProcessGroup::workers(&testbed, 2, 10).await;
        let arrivals = wait_for_arrivals(&testbed, mails, run.scale.settle_limit()).await;
        let late: Vec<_> = arrivals.iter().filter(|at| **at - arrivals[0] >= Duration::from_secs(5)).collect();
        let a_second = late.len() as f64 / (*late[late.len() - 1] - arrivals[0] - Duration::from_secs(5)).as_secs_f64();
        let least = RATE as f64 * run.scale.pick(0.9, 0.4);
        let required = format!("after {code}: at least {least} mails/s from the sixth second on");
        report.check(required, format!("{a_second:.1}"), a_second >= least);
        let audit = Audit::settled(&testbed, &load, run.scale.settle_limit()).await;
        report.check(format!("all {mails} are sent, 0 failed"), audit.sent, audit.sent == mails && audit.failed == 0);
        run.note_logs(&mut report, &processes);
    }
    report
}

/// Sends to a server that accepts three connections and refuses the fourth.
pub(super) async fn server_connections(run: ScenarioRun, mut report: Report) -> Report {
    const MOST: usize = 3;
    let mails = run.scale.pick(5_000, 600);
    let smtp = FakeSmtp::builder().max_connections(MOST).start().await;
    let testbed = Testbed::on(run.setup(PrivateRedis::start().await), smtp).await;
    super::slow(&testbed, Duration::from_millis(10));
    let mut load = Load::new(&testbed);
    load.bulk(mails, &[]).await;
    let processes = ProcessGroup::workers(&testbed, 2, 10).await;
    wait_for_arrivals(&testbed, mails, run.scale.settle_limit()).await;
    let audit = Audit::settled(&testbed, &load, run.scale.settle_limit()).await;
    report.check(format!("all {mails} are sent, 0 failed"), audit.sent, audit.sent == mails && audit.failed == 0);
    report.at_most("concurrent connections, including a refused one", MOST + 1, testbed.smtp.peak_connections());
    let refusals = processes.logs().lines().filter(|line| line.contains("Too many connections")).count();
    report.note(format!("{} connections were opened, {refusals} refusals were logged", testbed.smtp.connections()));
    run.note_logs(&mut report, &processes);
    report
}

/// Waits for `number` mails, at most `limit`. Returns the sorted times of arrival.
async fn wait_for_arrivals(testbed: &Arc<Testbed>, number: usize, limit: Duration) -> Vec<Instant> {
    let end = Instant::now() + limit;
    while testbed.smtp.received_count() < number && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut arrivals: Vec<Instant> = testbed.smtp.received().iter().map(|mail| mail.at).collect();
    arrivals.sort();
    arrivals
}

//! Lost replies to accepted mails.

use super::{ScenarioRun, slow};
use crate::args::UnknownPolicy;
use crate::fault::FaultLog;
use crate::load::{Load, recipient};
use crate::processes::ProcessGroup;
use crate::report::Report;
use postroom_testkit::{Action, Fault, FaultPhase, PrivateRedis};
use std::collections::BTreeSet;
use std::time::Duration;

/// Loses the reply to about one of twenty mails once, and to one mail every time.
pub(super) async fn lost(run: ScenarioRun, mut report: Report) -> Report {
    let number = run.scale.pick(2_000, 400);
    let testbed = run.testbed(PrivateRedis::start().await, None).await;
    let close = |to: &str| Fault::at(FaultPhase::Dot, Action::StoreThenClose).recipient(to);
    let always = recipient(7);
    testbed.smtp.fault(close(&always));
    // None among the last mails, because mails must arrive after the last fault.
    let once: BTreeSet<String> = (20..number * 19 / 20).step_by(19).map(recipient).collect();
    once.iter().for_each(|to| testbed.smtp.fault(close(to).times(1)));
    slow(&testbed, Duration::from_millis(60));
    let mut load = Load::new(&testbed);
    load.bulk(number, &[]).await;
    let processes = ProcessGroup::workers(&testbed, 2, 10).await;
    let mut log = FaultLog::new();
    log.begin(&testbed, format!("{} replies lost once, and all replies to one mail", once.len())).await;
    log.end();
    let audit = run.finish(&mut report, &testbed, &processes, &load, &log).await;
    let mut unknown = once.clone();
    unknown.insert(always.clone());
    match run.on_unknown {
        UnknownPolicy::Hold => {
            report.at_most("duplicates", 0, audit.duplicates);
            let observed = format!("{} of {} held", audit.held.len(), unknown.len());
            report.check("exactly the mails with lost replies are held", observed, audit.held == unknown);
        }
        UnknownPolicy::Resend => {
            let observed = format!("{} of {number}", audit.sent);
            report.check("each mail arrives", observed, audit.sent == number);
            report.at_most("copies of any mail", 2, audit.most_copies);
            report.check(
                "only the mail without any reply is held",
                audit.held.len(),
                audit.held == BTreeSet::from([always]),
            );
        }
    }
    report
}

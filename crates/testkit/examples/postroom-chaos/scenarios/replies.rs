//! The server has the mail, and its reply is lost.

use super::{Play, slow};
use crate::args::OnUnknown;
use crate::crew::Crew;
use crate::fault::FaultLog;
use crate::load::{Load, recipient};
use crate::report::Report;
use postroom_testkit::{Action, Fault, Phase, PrivateRedis};
use std::collections::BTreeSet;
use std::time::Duration;

/// For one of twenty it closes after keeping it, once; for one mail, always.
pub(super) async fn lost(play: Play, mut report: Report) -> Report {
    let number = play.scale.pick(2_000, 400);
    let site = play.site(PrivateRedis::start().await, None).await;
    let close = |to: &str| Fault::at(Phase::Dot, Action::StoreThenClose).recipient(to);
    let always = recipient(7);
    site.smtp.fault(close(&always));
    // None among the last: mail has to go out after the last of them.
    let once: BTreeSet<String> = (20..number * 19 / 20).step_by(19).map(recipient).collect();
    once.iter().for_each(|to| site.smtp.fault(close(to).times(1)));
    slow(&site, Duration::from_millis(60));
    let mut load = Load::new(&site);
    load.bulk(number, &[]).await;
    let crew = Crew::workers(&site, 2, 10).await;
    let mut log = FaultLog::new();
    log.begin(&site, format!("{} replies lost, and all of one mail", once.len())).await;
    log.end();
    let account = play.close(&mut report, &site, &crew, &load, &log).await;
    let mut doubtful = once.clone();
    doubtful.insert(always.clone());
    match play.on_unknown {
        OnUnknown::Hold => {
            report.at_most("duplicates", 0, account.duplicates);
            let seen = format!("{} of {} held", account.held.len(), doubtful.len());
            report.check("exactly those are held", seen, account.held == doubtful);
        }
        OnUnknown::Resend => {
            let seen = format!("{} of {number}", account.sent);
            report.check("each arrives", seen, account.sent == number);
            report.at_most("copies of any mail", 2, account.most_copies);
            report.check("only the one is held", account.held.len(), account.held == BTreeSet::from([always]));
        }
    }
    report
}

//! A provider that takes two requests a second.

use super::Play;
use crate::account::settle;
use crate::crew::Crew;
use crate::load::{Load, recipient};
use crate::report::Report;
use crate::site::{Setup, Site};
use postroom_testkit::resend::Mailed;
use postroom_testkit::{FakeResend, PrivateRedis};
use std::collections::BTreeSet;

/// What it takes, those that it refuses included.
const RATE: usize = 2;

/// More mail than fits into the minute, and two workers that share what is allowed.
pub(super) async fn resend(play: Play, mut report: Report) -> Report {
    let mails = play.scale.pick(200, 20);
    let provider = FakeResend::builder().rate(RATE).start();
    let setup = Setup { transport: Some(by(&provider)), ..play.setup(PrivateRedis::start().await) };
    let site = Site::new(setup).await;
    let mut load = Load::new(&site);
    let (batch, first) = load.bulk(mails, &[]).await;
    let crew = Crew::workers(&site, 2, 10).await;
    settle(&site, play.scale.patience()).await;
    let told = site.json(&["status", &batch]).await;
    let count = |state: &str| told[0][state].as_u64().unwrap_or(0);
    report.check(format!("{mails} sent, 0 failed"), format!("{}, {}", count("sent"), count("failed")), {
        (count("sent"), count("failed")) == (mails as u64, 0)
    });
    let taken: Vec<String> = provider.mails().iter().flat_map(Mailed::recipients).collect();
    let expected: BTreeSet<String> = (first..first + mails).map(recipient).collect();
    let each_once = taken.len() == mails && taken.iter().cloned().collect::<BTreeSet<_>>() == expected;
    report.check("the provider has each of them once", taken.len(), each_once);
    // On a machine with much to do a request may be read a moment late, and the next in time.
    report.at_most("requests in any second", play.scale.pick(RATE, RATE + 1), provider.most_in_a_second());
    let refused = provider.asked().iter().filter(|asked| asked.status == Some(429)).count();
    report.note(format!("{refused} of {} requests were refused", provider.asked().len()));
    play.tell_logs(&mut report, &crew);
    report
}

/// The transport that leads there, at the rate that README advises.
fn by(provider: &FakeResend) -> String {
    let (url, key) = (provider.url(), FakeResend::API_KEY);
    format!("[transport.default]\nkind = \"resend\"\nurl = \"{url}\"\napi_key = \"{key}\"\nrate = \"110/m\"\n")
}

//! A provider with a limit of two requests per second.

use super::ScenarioRun;
use crate::audit::settle;
use crate::load::{Load, recipient};
use crate::processes::ProcessGroup;
use crate::report::Report;
use crate::testbed::{Setup, Testbed};
use postroom_testkit::resend::AcceptedMail;
use postroom_testkit::{FakeResend, PrivateRedis};
use std::collections::BTreeSet;

/// Maximum number of requests per second, including refused ones.
const RATE: usize = 2;

/// Sends more mail than the limit allows in one minute, with two workers that share the limit.
pub(super) async fn resend(run: ScenarioRun, mut report: Report) -> Report {
    let mails = run.scale.pick(200, 20);
    let provider = FakeResend::builder().rate(RATE).start();
    let setup = Setup { transport: Some(transport_to(&provider)), ..run.setup(PrivateRedis::start().await) };
    let testbed = Testbed::new(setup).await;
    let mut load = Load::new(&testbed);
    let (batch, first) = load.bulk(mails, &[]).await;
    let processes = ProcessGroup::workers(&testbed, 2, 10).await;
    settle(&testbed, run.scale.settle_limit()).await;
    let status = testbed.json(&["status", &batch]).await;
    let count = |state: &str| status[0][state].as_u64().unwrap_or(0);
    report.check(format!("{mails} sent, 0 failed"), format!("{}, {}", count("sent"), count("failed")), {
        (count("sent"), count("failed")) == (mails as u64, 0)
    });
    let accepted: Vec<String> = provider.mails().iter().flat_map(AcceptedMail::recipients).collect();
    let expected: BTreeSet<String> = (first..first + mails).map(recipient).collect();
    let each_once = accepted.len() == mails && accepted.iter().cloned().collect::<BTreeSet<_>>() == expected;
    report.check("the provider has each mail once", accepted.len(), each_once);
    // On a busy machine, one request may be read late and the next one on time.
    report.at_most("requests in any second", run.scale.pick(RATE, RATE + 1), provider.most_in_a_second());
    let refused = provider.requests().iter().filter(|request| request.status == Some(429)).count();
    report.note(format!("{refused} of {} requests were refused", provider.requests().len()));
    run.note_logs(&mut report, &processes);
    report
}

/// Returns the TOML table of a transport to this provider, at the recommended rate.
fn transport_to(provider: &FakeResend) -> String {
    let (url, key) = (provider.url(), FakeResend::API_KEY);
    format!("[transport.default]\nkind = \"resend\"\nurl = \"{url}\"\napi_key = \"{key}\"\nrate = \"110/m\"\n")
}

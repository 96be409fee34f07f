//! A large batch that is paused, resumed and cancelled.

use super::{ScenarioRun, slow};
use crate::audit::{Audit, STATES};
use crate::load::Load;
use crate::processes::ProcessGroup;
use crate::report::Report;
use crate::testbed::Testbed;
use postroom_testkit::PrivateRedis;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Duration of one mail.
const MAIL: Duration = Duration::from_millis(20);
/// Time in which mails that are being sent may still arrive after an action.
const DRAIN: Duration = Duration::from_secs(1);
/// Minimum number of arrivals that shows that the batch is being sent.
const MIN_ARRIVALS: usize = 20;

/// Pauses, resumes and cancels a batch while it is sent.
pub(super) async fn batch_steered(run: ScenarioRun, mut report: Report) -> Report {
    let number = run.scale.pick(100_000, 3_000);
    let testbed = run.testbed(PrivateRedis::start().await, None).await;
    slow(&testbed, MAIL);
    let mut load = Load::new(&testbed);
    let (id, _) = load.bulk(number, &[]).await;
    let counters = Arc::new(CounterAudit::default());
    let polling = tokio::spawn(Arc::clone(&counters).poll(Arc::clone(&testbed), id.clone(), number));
    let processes = ProcessGroup::workers(&testbed, 2, 5).await;

    let batch = BatchActions { testbed: &testbed, id: &id, most: run.scale.seconds(0.5, 2.0) };
    batch.wait_for_arrivals(0, &mut report).await;
    batch.run("pause", &mut report).await;
    let before = batch.wait_for_drain("paused", &mut report).await;
    batch.run("resume", &mut report).await;
    batch.wait_for_arrivals(before, &mut report).await;
    batch.run("cancel", &mut report).await;
    batch.wait_for_drain("cancelled", &mut report).await;
    polling.abort();

    counters.report(&mut report);
    let audit = Audit::settled(&testbed, &load, run.scale.settle_limit()).await;
    report.check_audit(&audit);
    report.at_most("duplicates", 0, audit.duplicates);
    report.check("some mails are cancelled", audit.cancelled, audit.cancelled > 0);
    let settled = audit.sent + audit.cancelled;
    report.check("each mail is sent or cancelled", settled, settled == number);
    run.note_logs(&mut report, &processes);
    report
}

/// Batch and the maximum duration of an action.
struct BatchActions<'a> {
    testbed: &'a Testbed,
    id: &'a str,
    most: Duration,
}

impl BatchActions<'_> {
    async fn run(&self, action: &str, report: &mut Report) {
        let start = Instant::now();
        let output = self.testbed.postroom(&[action, self.id]).await;
        let took = output.status.success().then(|| start.elapsed());
        report.within(&format!("postroom {action} returns"), self.most, took);
    }

    /// Waits until further mails have arrived. Otherwise the run is void.
    async fn wait_for_arrivals(&self, before: usize, report: &mut Report) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.testbed.smtp.received_count() < before + MIN_ARRIVALS && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if Instant::now() >= end {
            report.void(format!("no mail arrived after the first {before}"));
        }
    }

    /// Checks that only mails that were being sent still arrive. Returns the number of arrivals.
    async fn wait_for_drain(&self, state: &str, report: &mut Report) -> usize {
        tokio::time::sleep(DRAIN).await;
        let before = self.testbed.smtp.received_count();
        tokio::time::sleep(DRAIN).await;
        let after = self.testbed.smtp.received_count();
        report.note(format!("{before} mails had arrived 1 s after the batch was {state}"));
        report.at_most(&format!("mails later than 1 s after the batch was {state}"), 0, after - before);
        after
    }
}

/// Repeated reads of the batch's counters: their number, and the wrong ones.
#[derive(Debug, Default)]
struct CounterAudit(Mutex<(usize, Vec<String>)>);

impl CounterAudit {
    async fn poll(self: Arc<Self>, testbed: Arc<Testbed>, id: String, number: usize) {
        loop {
            if let Some(batch) = testbed.json_or_none(&["status", &id]).await {
                let counter = |name: &str| batch[name].as_u64().unwrap_or(0);
                let sum: u64 = STATES.iter().map(|state| counter(state)).sum();
                let (reads, wrong) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
                *reads += 1;
                if sum != number as u64 || counter("total") != number as u64 {
                    wrong.push(format!("{sum} of {}: {batch}", counter("total")));
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn report(&self, report: &mut Report) {
        let (reads, wrong) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner);
        report.note(format!("the batch's counters were read {reads} times"));
        let first = wrong.first().cloned().unwrap_or_else(|| "always".to_owned());
        report.check("counters add up at every read", first, wrong.is_empty() && *reads > 0);
    }
}

//! Log of the injected faults with their times.

use crate::testbed::Testbed;
use std::time::{Duration, Instant};

/// Minimum number of mails being sent for a fault to count.
pub(crate) const MIN_SENDING: usize = 10;

/// One injected fault.
#[derive(Clone, Debug)]
pub(crate) struct FaultRecord {
    pub(crate) description: String,
    /// Start of the fault.
    pub(crate) started_at: Instant,
    /// End of the fault, from which recovery is measured.
    pub(crate) ended_at: Instant,
    /// Number of mails being sent at the start.
    pub(crate) sending_count: usize,
}

/// All faults of a run, in order.
#[derive(Debug)]
pub(crate) struct FaultLog {
    start: Instant,
    faults: Vec<FaultRecord>,
}

impl FaultLog {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), faults: Vec::new() }
    }

    /// Waits up to 15 s until enough mails are being sent, and records the start of a fault.
    pub(crate) async fn begin(&mut self, testbed: &Testbed, description: impl Into<String>) {
        let sending_count = wait_for_traffic(testbed).await;
        let now = Instant::now();
        let description = description.into();
        self.faults.push(FaultRecord { description, started_at: now, ended_at: now, sending_count });
    }

    /// Records the end of the latest fault.
    pub(crate) fn end(&mut self) {
        let fault = self.faults.last_mut().expect("a fault that has begun");
        fault.ended_at = Instant::now();
    }

    pub(crate) fn all(&self) -> &[FaultRecord] {
        &self.faults
    }

    /// Returns the end of the latest fault.
    pub(crate) fn last_end(&self) -> Option<Instant> {
        self.faults.iter().map(|fault| fault.ended_at).max()
    }

    /// Describes each fault in one line, with the time from its end to the next arrival.
    pub(crate) fn lines(&self, arrivals: &[Instant]) -> Vec<String> {
        let line = |fault: &FaultRecord| {
            let (start, duration) = (fault.started_at - self.start, fault.ended_at - fault.started_at);
            let next = match recovery(fault, arrivals) {
                Some(after) => format!("next mail {:.2} s after", after.as_secs_f64()),
                None => "no mail after".to_owned(),
            };
            format!(
                "+{:.1} s {} for {:.1} s: {} mails being sent, {next}",
                start.as_secs_f64(),
                fault.description,
                duration.as_secs_f64(),
                fault.sending_count
            )
        };
        self.faults.iter().map(line).collect()
    }
}

/// Returns the time from the end of a fault to the next arrival. `arrivals` are in order.
pub(crate) fn recovery(fault: &FaultRecord, arrivals: &[Instant]) -> Option<Duration> {
    let next = arrivals.iter().find(|at| **at > fault.ended_at)?;
    Some(*next - fault.ended_at)
}

async fn wait_for_traffic(testbed: &Testbed) -> usize {
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        let sending_count = testbed.sending_count();
        if sending_count >= MIN_SENDING || Instant::now() >= end {
            return sending_count;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! The log of what went wrong, and when.

use crate::site::Site;
use std::time::{Duration, Instant};

/// Fewer mails under way, and a fault shows nothing.
pub(crate) const ENOUGH: usize = 10;

/// One piece of trouble.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) what: String,
    /// When it came.
    pub(crate) at: Instant,
    /// When it was over, and recovery is counted from.
    pub(crate) over: Instant,
    /// How many mails were being sent then.
    pub(crate) under_way: usize,
}

/// All that went wrong in a run, in order.
#[derive(Debug)]
pub(crate) struct FaultLog {
    start: Instant,
    faults: Vec<Fault>,
}

impl FaultLog {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), faults: Vec::new() }
    }

    /// Waits until enough mails are under way, for a while, and notes that trouble begins now.
    pub(crate) async fn begin(&mut self, site: &Site, what: impl Into<String>) {
        let under_way = wait_for_traffic(site).await;
        let now = Instant::now();
        self.faults.push(Fault { what: what.into(), at: now, over: now, under_way });
    }

    /// Notes that it is over.
    pub(crate) fn end(&mut self) {
        let fault = self.faults.last_mut().expect("a fault that has begun");
        fault.over = Instant::now();
    }

    pub(crate) fn all(&self) -> &[Fault] {
        &self.faults
    }

    /// When the latest trouble was over.
    pub(crate) fn last_over(&self) -> Option<Instant> {
        self.faults.iter().map(|fault| fault.over).max()
    }

    /// Each with how long it took from its end to the next mail at the server.
    pub(crate) fn told(&self, arrivals: &[Instant]) -> Vec<String> {
        let tell = |fault: &Fault| {
            let (at, length) = (fault.at - self.start, fault.over - fault.at);
            let next = match recovery(fault, arrivals) {
                Some(after) => format!("next mail {:.2} s after", after.as_secs_f64()),
                None => "no mail after".to_owned(),
            };
            format!(
                "+{:.1} s {} for {:.1} s: {} under way, {next}",
                at.as_secs_f64(),
                fault.what,
                length.as_secs_f64(),
                fault.under_way
            )
        };
        self.faults.iter().map(tell).collect()
    }
}

/// From the end of a fault to the next mail; `arrivals` are in order.
pub(crate) fn recovery(fault: &Fault, arrivals: &[Instant]) -> Option<Duration> {
    let next = arrivals.iter().find(|at| **at > fault.over)?;
    Some(*next - fault.over)
}

async fn wait_for_traffic(site: &Site) -> usize {
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        let under_way = site.under_way();
        if under_way >= ENOUGH || Instant::now() >= end {
            return under_way;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

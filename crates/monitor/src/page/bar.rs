//! Progress bar of a batch.

use askama::Template;
use postroom_core::BatchReport;

/// A progress bar with a segment per state.
#[derive(Debug, Template)]
#[template(path = "bar.html")]
pub(super) struct ProgressBar {
    segments: Vec<BarSegment>,
    percent: u64,
    label: String,
}

#[derive(Debug)]
struct BarSegment {
    kind: &'static str,
    from: String,
    width: String,
}

impl ProgressBar {
    pub(super) fn new(batch: &BatchReport) -> Self {
        let counts = [
            ("sent", batch.sent),
            ("failed", batch.failed),
            ("unknown", batch.unknown),
            ("cancelled", batch.cancelled),
            ("sending", batch.sending),
            ("deferred", batch.deferred),
        ];
        let settled = batch.total.saturating_sub(batch.unfinished());
        let percent = (settled * 100).checked_div(batch.total).unwrap_or(0);
        Self {
            segments: segments(&counts, batch.total),
            percent,
            label: format!("{settled} of {} settled", batch.total),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "percentages for display")]
fn segments(counts: &[(&'static str, u64)], total: u64) -> Vec<BarSegment> {
    let share = |number: u64| 100.0 * number as f64 / total.max(1) as f64;
    let mut before = 0;
    let mut segments = Vec::new();
    for (kind, number) in counts.iter().filter(|(_, number)| *number > 0) {
        segments.push(BarSegment {
            kind,
            from: format!("{:.2}%", share(before)),
            width: format!("{:.2}%", share(*number)),
        });
        before += number;
    }
    segments
}

//! Bar charts of the last hour, drawn by the server as SVG.

use askama::Template;
use postroom_core::store::Minute;

use crate::time_format::{TimeFormatter, grouped};

/// Height of the drawing; its width follows from the number of bars.
const HEIGHT: f64 = 100.0;
const STEP: usize = 10;

/// Chart of one count over the last hour, with one bar per minute.
#[derive(Debug, Template)]
#[template(path = "chart.html")]
pub(crate) struct Chart {
    /// Name of the count, also used as a CSS class.
    kind: &'static str,
    title: &'static str,
    total: String,
    /// Number at the upper edge of the scale.
    top: String,
    middle: String,
    peak: String,
    width: usize,
    bars: Vec<ChartBar>,
    from: String,
    until: String,
}

#[derive(Debug)]
struct ChartBar {
    x: usize,
    y: String,
    height: String,
    label: String,
}

impl Chart {
    pub(crate) fn new(
        kind: &'static str,
        title: &'static str,
        minutes: &[Minute],
        clock: TimeFormatter,
        count: impl Fn(&Minute) -> u64,
    ) -> Self {
        let counts: Vec<u64> = minutes.iter().map(count).collect();
        let peak = counts.iter().copied().max().unwrap_or(0);
        let top = round_up(peak);
        let time = |minute: Option<&Minute>| minute.map(|minute| clock.minute(minute.at_ms)).unwrap_or_default();
        let bars = minutes.iter().zip(&counts).enumerate();
        Self {
            kind,
            title,
            total: grouped(counts.iter().sum::<u64>()),
            top: grouped(top),
            middle: grouped(top / 2),
            peak: grouped(peak),
            width: minutes.len() * STEP,
            bars: bars
                .map(|(index, (minute, count))| ChartBar::new(index, *count, top, &clock.minute(minute.at_ms)))
                .collect(),
            from: time(minutes.first()),
            until: time(minutes.last()),
        }
    }
}

impl ChartBar {
    #[expect(clippy::cast_precision_loss, reason = "counts of mails in a minute")]
    fn new(index: usize, count: u64, top: u64, time: &str) -> Self {
        let exact = HEIGHT * count as f64 / top as f64;
        // Keeps a small count visible beside a large one.
        let height = if count == 0 { 0.0 } else { exact.max(2.0) };
        Self {
            x: index * STEP,
            y: format!("{:.1}", HEIGHT - height),
            height: format!("{height:.1}"),
            label: format!("{time}: {}", grouped(count)),
        }
    }
}

/// Returns the next round even number: 4, 6, 8, 10, 20, 40, 60, …
fn round_up(peak: u64) -> u64 {
    let mut scale = 1_u64;
    loop {
        for step in [4, 6, 8, 10, 20] {
            let top = scale.saturating_mul(step);
            if top >= peak {
                return top;
            }
        }
        scale = scale.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_round() {
        for (peak, top) in
            [(0, 4), (4, 4), (5, 6), (9, 10), (11, 20), (21, 40), (399, 400), (401, 600), (u64::MAX, u64::MAX)]
        {
            assert_eq!(round_up(peak), top, "{peak}");
        }
    }

    #[test]
    fn bars_fit_the_chart() {
        let minutes = [0, 1, 1_000].map(|sent| Minute { sent, ..Minute::default() });
        let chart = Chart::new("sent", "Sent", &minutes, TimeFormatter::now(chrono_tz::UTC), |minute| minute.sent);
        let heights: Vec<&str> = chart.bars.iter().map(|bar| bar.height.as_str()).collect();
        assert_eq!(heights, ["0.0", "2.0", "100.0"]);
        let svg = chart.render().expect("a chart");
        assert!(svg.contains("<svg") && svg.contains("00:00: 1,000"), "{svg}");
    }
}

//! Sliding window over the rate of accepted mails. Pure: time is a parameter.

use std::time::Duration;

const BUCKET: Duration = Duration::from_millis(100);
const BUCKETS: usize = 100;
const SECOND: usize = 10;

/// Counts of the last ten seconds, in tenths of a second.
#[derive(Debug)]
pub(crate) struct RateWindow {
    counts: [u32; BUCKETS],
    /// Index of the latest bucket, from the clock's beginning.
    latest: usize,
}

impl Default for RateWindow {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], latest: 0 }
    }
}

impl RateWindow {
    /// Counts one mail.
    pub(crate) fn count(&mut self, now: Duration) {
        self.advance(now);
        self.counts[self.latest % BUCKETS] += 1;
    }

    /// Returns the mails a second: of the last second, or the mean of the last ten if that is more.
    pub(crate) fn per_second(&mut self, now: Duration) -> f64 {
        self.advance(now);
        let last: u32 = (0..SECOND).map(|back| self.counts[(self.latest + BUCKETS - back) % BUCKETS]).sum();
        f64::from(last).max(f64::from(self.counts.iter().sum::<u32>()) / 10.0)
    }

    fn advance(&mut self, now: Duration) {
        let bucket = usize::try_from(now.as_millis() / BUCKET.as_millis()).unwrap_or(self.latest);
        for passed in (self.latest + 1..=bucket).rev().take(BUCKETS) {
            self.counts[passed % BUCKETS] = 0;
        }
        self.latest = self.latest.max(bucket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_seconds_count() {
        let mut window = RateWindow::default();
        let at = Duration::from_millis;
        for number in 0..50 {
            window.count(at(5_000 + number));
        }
        for (ms, expected) in [(5_100, 50.0), (5_950, 50.0), (6_100, 5.0), (14_900, 5.0), (15_100, 0.0)] {
            assert!((window.per_second(at(ms)) - expected).abs() < 0.01, "{ms}: {}", window.per_second(at(ms)));
        }
        window.count(at(99_999_999));
        assert!((window.per_second(at(99_999_999)) - 1.0).abs() < 0.01);
    }
}

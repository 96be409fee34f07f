//! Statistics of sending: totals for the report, and samples for the adaptive concurrency.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use postroom_core::store::Outcome;
use postroom_mail::{Attempt, Verdict};

/// Counters of this worker.
#[derive(Debug, Default)]
pub(crate) struct SendStats {
    sent: AtomicU64,
    failed: AtomicU64,
    /// Since the last sample, like the following ones.
    attempts: AtomicU64,
    ms: AtomicU64,
    is_throttled: AtomicBool,
    was_full: AtomicBool,
}

/// Counters of one period.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sample {
    /// Number of attempts that ended.
    pub(crate) attempts: u64,
    /// Mean duration of an attempt in milliseconds.
    pub(crate) mean_ms: Option<f64>,
    /// Whether a server throttled.
    pub(crate) is_throttled: bool,
    /// Whether all slots were in use while more mail waited.
    pub(crate) was_full: bool,
}

impl SendStats {
    /// Counts a job that was sent or has failed.
    pub(crate) fn count_outcome(&self, outcome: Outcome) {
        match outcome {
            Outcome::Sent => drop(self.sent.fetch_add(1, Relaxed)),
            Outcome::Failed => drop(self.failed.fetch_add(1, Relaxed)),
            Outcome::Unknown => {}
        }
    }

    /// Returns the numbers of sent and failed jobs since the start.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.sent.load(Relaxed), self.failed.load(Relaxed))
    }

    /// Counts an attempt.
    pub(crate) fn count_attempt(&self, attempt: &Attempt) {
        self.attempts.fetch_add(1, Relaxed);
        self.ms.fetch_add(attempt.ms, Relaxed);
        if attempt.verdict == Verdict::Throttled {
            self.is_throttled.store(true, Relaxed);
        }
    }

    /// Records that all slots are in use while more mail waits.
    pub(crate) fn mark_full(&self) {
        self.was_full.store(true, Relaxed);
    }

    /// Returns the counters of the period and resets them.
    #[expect(clippy::cast_precision_loss, reason = "a second's milliseconds are exact")]
    pub(crate) fn take_sample(&self) -> Sample {
        let (attempts, ms) = (self.attempts.swap(0, Relaxed), self.ms.swap(0, Relaxed));
        Sample {
            attempts,
            mean_ms: (attempts > 0).then(|| ms as f64 / attempts as f64),
            is_throttled: self.is_throttled.swap(false, Relaxed),
            was_full: self.was_full.swap(false, Relaxed),
        }
    }
}

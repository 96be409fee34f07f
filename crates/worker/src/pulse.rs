//! How a worker's sending goes, from one second to the next.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use postroom_mail::{Attempt, Verdict};

/// Counts what happens until somebody looks.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    tries: AtomicU64,
    ms: AtomicU64,
    wants_less: AtomicBool,
    was_full: AtomicBool,
}

/// What was seen since the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Beat {
    /// How many tries came to an end.
    pub(crate) tries: u64,
    /// How long they took, in the mean.
    pub(crate) mean_ms: Option<f64>,
    /// A server wants less.
    pub(crate) wants_less: bool,
    /// All slots were in use, and more waited.
    pub(crate) was_full: bool,
}

impl Pulse {
    /// A try has ended.
    pub(crate) fn note(&self, attempt: &Attempt) {
        self.tries.fetch_add(1, Relaxed);
        self.ms.fetch_add(attempt.ms, Relaxed);
        if attempt.verdict == Verdict::Throttled {
            self.wants_less.store(true, Relaxed);
        }
    }

    /// All slots are in use, and more waits.
    pub(crate) fn full(&self) {
        self.was_full.store(true, Relaxed);
    }

    /// What was seen since the last look.
    #[expect(clippy::cast_precision_loss, reason = "a second's milliseconds are exact")]
    pub(crate) fn take(&self) -> Beat {
        let (tries, ms) = (self.tries.swap(0, Relaxed), self.ms.swap(0, Relaxed));
        Beat {
            tries,
            mean_ms: (tries > 0).then(|| ms as f64 / tries as f64),
            wants_less: self.wants_less.swap(false, Relaxed),
            was_full: self.was_full.swap(false, Relaxed),
        }
    }
}

//! Rate limit of a fake server.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Times of the recent mails or connections.
#[derive(Debug, Default)]
pub(crate) struct RateCheck(Mutex<VecDeque<Instant>>);

impl RateCheck {
    /// Records an event, unless it would exceed the limit within a second.
    pub(crate) fn allows(&self, per_second: usize) -> bool {
        self.allows_within(per_second, Duration::from_secs(1))
    }

    /// Records an event, unless it would exceed the number within this time.
    pub(crate) fn allows_within(&self, number: usize, window: Duration) -> bool {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while times.front().is_some_and(|time| now.duration_since(*time) >= window) {
            times.pop_front();
        }
        let allowed = times.len() < number;
        if allowed {
            times.push_back(now);
        }
        allowed
    }
}

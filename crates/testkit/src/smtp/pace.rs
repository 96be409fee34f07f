//! Rate limit of a fake server.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(1);

/// Times of the mails of the last second.
#[derive(Debug, Default)]
pub(crate) struct RateCheck(Mutex<VecDeque<Instant>>);

impl RateCheck {
    /// Records a mail, unless it would exceed the limit within a second.
    pub(crate) fn allows(&self, per_second: usize) -> bool {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while times.front().is_some_and(|time| now.duration_since(*time) >= WINDOW) {
            times.pop_front();
        }
        let allowed = times.len() < per_second;
        if allowed {
            times.push_back(now);
        }
        allowed
    }
}

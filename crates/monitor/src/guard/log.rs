//! Log of wrong passwords, limited to a few lines per minute.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const WINDOW: Duration = Duration::from_secs(60);
const LINES: u64 = 10;

/// Start of the current minute, and its number of wrong passwords.
#[derive(Debug, Default)]
pub(super) struct WrongPasswordLog(Mutex<Option<(Instant, u64)>>);

impl WrongPasswordLog {
    pub(super) fn note(&self, from: IpAddr) {
        let number = self.count(Instant::now());
        if number <= LINES {
            tracing::warn!(%from, "wrong password");
        }
    }

    /// Counts a wrong password and returns its number within the minute, from 1.
    fn count(&self, now: Instant) -> u64 {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, before)) = window.take_if(|(began, _)| now.duration_since(*began) >= WINDOW)
            && before > LINES
        {
            tracing::warn!(number = before - LINES, "further wrong passwords were not logged individually");
        }
        let (_, number) = window.get_or_insert((now, 0));
        *number += 1;
        *number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_minute_is_counted_separately() {
        let (log, now) = (WrongPasswordLog::default(), Instant::now());
        for number in 1..=LINES + 5 {
            assert_eq!(log.count(now), number);
        }
        assert_eq!(log.count(now + WINDOW), 1);
    }
}

//! Errors of `accept`, logged once when they begin and once when they end.

use std::{
    io,
    time::{Duration, Instant},
};

/// Errors have ended when none occurred for this long.
const CALM: Duration = Duration::from_secs(10);

/// Ongoing errors of `accept`: times of the first and the last one.
#[derive(Debug, Default)]
pub(super) struct AcceptErrors(Option<(Instant, Instant)>);

impl AcceptErrors {
    pub(super) fn note(&mut self, name: &str, error: &io::Error) {
        let now = Instant::now();
        let (_, last) = self.0.get_or_insert_with(|| {
            tracing::warn!("{name}: can't accept connections: {error}; retrying");
            (now, now)
        });
        *last = now;
    }

    /// Records that a connection was accepted.
    pub(super) fn end(&mut self, name: &str) {
        if let Some((since, _)) = self.0.take_if(|(_, last)| last.elapsed() >= CALM) {
            tracing::info!("{name}: accepting connections again after {:.1} s", since.elapsed().as_secs_f64());
        }
    }
}

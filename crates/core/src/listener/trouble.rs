//! Errors of accepting, logged once when they begin and once when they end.

use std::{
    io,
    time::{Duration, Instant},
};

/// Errors are over when there was none for this long.
const CALM: Duration = Duration::from_secs(10);

/// Errors of accepting: since when, and the last one.
#[derive(Debug, Default)]
pub(super) struct Trouble(Option<(Instant, Instant)>);

impl Trouble {
    pub(super) fn note(&mut self, name: &str, error: &io::Error) {
        let now = Instant::now();
        let (_, last) = self.0.get_or_insert_with(|| {
            tracing::warn!("{name}: connections can't be accepted: {error}; it is tried again until they can");
            (now, now)
        });
        *last = now;
    }

    /// Takes note that one was accepted.
    pub(super) fn end(&mut self, name: &str) {
        if let Some((since, _)) = self.0.take_if(|(_, last)| last.elapsed() >= CALM) {
            tracing::info!("{name}: connections are accepted again after {:.1} s", since.elapsed().as_secs_f64());
        }
    }
}

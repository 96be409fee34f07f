//! Errors of accepting, logged once when they begin and once when they end.

use std::{io, time::Instant};

/// Errors of accepting.
#[derive(Debug, Default)]
pub(super) struct Trouble(Option<Instant>);

impl Trouble {
    pub(super) fn note(&mut self, name: &str, error: &io::Error) {
        if self.0.is_none() {
            tracing::warn!("{name}: connections can't be accepted: {error}; it is tried again until they can");
            self.0 = Some(Instant::now());
        }
    }

    pub(super) fn end(&mut self, name: &str) {
        if let Some(since) = self.0.take() {
            tracing::info!("{name}: connections are accepted again after {:.1} s", since.elapsed().as_secs_f64());
        }
    }
}

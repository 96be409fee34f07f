//! How large and how long a scenario is.

use crate::args::Args;
use std::time::Duration;

/// Full size, as README promises it, or quick, for the test suite.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    quick: bool,
}

impl Scale {
    pub(crate) fn of(args: &Args) -> Self {
        Self { quick: args.quick }
    }

    /// A number or a length, in full or quick.
    pub(crate) fn pick<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Seconds, in full or quick.
    pub(crate) fn seconds(self, full: f64, quick: f64) -> Duration {
        Duration::from_secs_f64(self.pick(full, quick))
    }

    /// How long a worker may hold a job without a sign of life; in full the usual length.
    pub(crate) fn lease(self) -> Duration {
        self.seconds(15.0, 2.0)
    }

    /// How long to wait for all mail to be settled.
    pub(crate) fn patience(self) -> Duration {
        self.seconds(240.0, 45.0)
    }
}

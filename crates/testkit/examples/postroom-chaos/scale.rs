//! Size and duration of scenarios.

use crate::args::Args;
use std::time::Duration;

/// Full size, as documented in `docs/guarantees.md`, or quick, for the test suite.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    quick: bool,
}

impl Scale {
    pub(crate) fn of(args: &Args) -> Self {
        Self { quick: args.quick }
    }

    /// Returns the full or the quick value.
    pub(crate) fn pick<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Returns the full or the quick number of seconds.
    pub(crate) fn seconds(self, full: f64, quick: f64) -> Duration {
        Duration::from_secs_f64(self.pick(full, quick))
    }

    /// Returns the lease of the queues. The full value is the default of Postroom.
    pub(crate) fn lease(self) -> Duration {
        self.seconds(15.0, 2.0)
    }

    /// Returns the maximum time to wait until all mail is settled.
    pub(crate) fn settle_limit(self) -> Duration {
        self.seconds(240.0, 45.0)
    }
}

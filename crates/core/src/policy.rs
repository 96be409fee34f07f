//! What a job is promised when it is handed over, and keeps for its life.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{InvalidInput, format_span, parse_span};

/// What happens to a job of which it can't be known whether it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// Send it once more, then hold it.
    Resend,
    /// Hold it for a person.
    Hold,
    /// Call it failed.
    Fail,
}

impl OnUnknown {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::Hold => "hold",
            Self::Fail => "fail",
        }
    }
}

impl FromStr for OnUnknown {
    type Err = InvalidInput;

    fn from_str(word: &str) -> Result<Self, InvalidInput> {
        [Self::Resend, Self::Hold, Self::Fail].into_iter().find(|policy| policy.as_str() == word).ok_or_else(|| {
            InvalidInput::new("on_unknown", format!("{word:?} is not known; it may be resend, hold or fail"))
        })
    }
}

/// How long to wait before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// Doubled each time from `base` up to `max`, with full jitter.
    Exponential {
        /// The most that is waited after the first attempt.
        base: Duration,
        /// The most that is ever waited.
        max: Duration,
    },
    /// Always the same.
    Fixed(Duration),
}

impl Backoff {
    /// The wait after `attempt` counted attempts (1 after the first); `jitter` is 0.0 to 1.0.
    #[must_use]
    pub fn delay(self, attempt: u32, jitter: f64) -> Duration {
        match self {
            Self::Fixed(delay) => delay,
            Self::Exponential { base, max } => {
                let doublings = attempt.saturating_sub(1).min(31);
                let ceiling = base.saturating_mul(1_u32 << doublings).min(max);
                ceiling.mul_f64(jitter.clamp(0.0, 1.0))
            }
        }
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(delay) => write!(f, "fixed:{}", format_span(*delay)),
            Self::Exponential { base, max } => write!(f, "{} up to {}", format_span(*base), format_span(*max)),
        }
    }
}

impl Backoff {
    /// Reads `3s` (exponential, up to `max`) or `fixed:10m`.
    pub fn parse(text: &str, max: Duration) -> Result<Self, InvalidInput> {
        match text.strip_prefix("fixed:") {
            Some(delay) => parse_span(delay).map(Self::Fixed),
            None => parse_span(text).map(|base| Self::Exponential { base, max }),
        }
        .map_err(|problem| problem.at("backoff"))
    }
}

/// The promises of a queue (or a template), stored with each job at enqueue so that all workers agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How many counted attempts a mail gets.
    pub attempts: u32,
    /// The wait between them.
    pub backoff: Backoff,
    /// For how long a worker may hold the job without saying that it is alive.
    pub lease: Duration,
    /// How old, counted from when it was due, the mail may get before it is given up.
    pub max_age: Duration,
    /// What to do when it can't be known whether it was sent.
    pub on_unknown: OnUnknown,
    /// For how long the result is kept; nothing but a tombstone is kept when `None`.
    pub retention: Option<Duration>,
}

impl Policy {
    /// What a queue promises unless it is configured: `bulk` is patient and careful, the others are quick.
    #[must_use]
    pub fn of_queue(queue: &str) -> Self {
        let hours = |h: u64| Duration::from_secs(h * 3_600);
        let bulk = queue == "bulk";
        Self {
            attempts: 6,
            backoff: Backoff::Exponential { base: Duration::from_secs(3), max: Duration::from_secs(60) },
            lease: Duration::from_secs(15),
            max_age: if bulk { hours(72) } else { hours(24) },
            on_unknown: if bulk { OnUnknown::Hold } else { OnUnknown::Resend },
            retention: Some(hours(30 * 24)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_maximum() {
        let backoff = Backoff::parse("3s", Duration::from_secs(60)).expect("a backoff");
        let seconds = |n| backoff.delay(n, 1.0).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, 40].map(seconds), [3, 6, 12, 24, 48, 60, 60]);
        assert_eq!(backoff.delay(3, 0.5), Duration::from_secs(6));
        assert_eq!(backoff.delay(3, 0.0), Duration::ZERO);
    }

    #[test]
    fn fixed_backoff_has_no_jitter() {
        let backoff = Backoff::parse("fixed:10m", Duration::ZERO).expect("a backoff");
        assert_eq!([1, 9].map(|n| backoff.delay(n, 0.1).as_secs()), [600, 600]);
        assert!(Backoff::parse("fixed:10", Duration::ZERO).is_err());
    }
}

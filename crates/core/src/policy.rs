//! Delivery policy of a job, fixed when it is enqueued.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{InvalidInput, format_span, parse_span};

/// Handling of a job when it is unknown whether it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// Send the job once more, then hold it.
    Resend,
    /// Hold the job for a person.
    Hold,
    /// Mark the job as failed.
    Fail,
}

impl OnUnknown {
    /// Returns the word of the setting.
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
            InvalidInput::new("on_unknown", format!("{word:?} is not valid; it may be resend, hold or fail"))
        })
    }
}

/// Delay before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// Doubled after each attempt, from `base` up to `max`, with full jitter.
    Exponential {
        /// Maximum delay after the first attempt.
        base: Duration,
        /// Maximum delay after any attempt.
        max: Duration,
    },
    /// Constant delay.
    Fixed(Duration),
}

impl Backoff {
    /// Returns the delay after `attempt` counted attempts (1 after the first); `jitter` is 0.0 to
    /// 1.0.
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
    /// Parses `3s` (exponential, up to `max`) or `fixed:10m`.
    ///
    /// # Errors
    /// Returns an error about `backoff` if the duration is invalid.
    pub fn parse(text: &str, max: Duration) -> Result<Self, InvalidInput> {
        match text.strip_prefix("fixed:") {
            Some(delay) => parse_span(delay).map(Self::Fixed),
            None => parse_span(text).map(|base| Self::Exponential { base, max }),
        }
        .map_err(|problem| problem.at("backoff"))
    }
}

/// Maximum number of attempts, more than the default backoff permits within any `max_age` of days.
pub(crate) const MOST_ATTEMPTS: u32 = 1000;

/// Delivery policy of a queue or a template. Each job stores its own copy, so that all workers
/// agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Maximum number of counted attempts.
    pub attempts: u32,
    /// Delay between attempts.
    pub backoff: Backoff,
    /// Duration of a lease that its worker does not renew.
    pub lease: Duration,
    /// Maximum age of a mail since it was due, after which it fails.
    pub max_age: Duration,
    /// Handling of a job when it is unknown whether it was sent.
    pub on_unknown: OnUnknown,
    /// Retention of the result; if `None`, only a tombstone remains.
    pub retention: Option<Duration>,
}

impl Policy {
    /// Returns the default policy of a queue: attempts until `max_age`, at most half an hour apart.
    /// `bulk` has a longer age and holds unknown jobs.
    #[must_use]
    pub fn of_queue(queue: &str) -> Self {
        let hours = |h: u64| Duration::from_secs(h * 3_600);
        let bulk = queue == "bulk";
        Self {
            attempts: MOST_ATTEMPTS,
            backoff: Backoff::Exponential { base: Duration::from_secs(3), max: Duration::from_secs(30 * 60) },
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
    fn the_default_policy_outlives_days_of_refusals() {
        for queue in ["emails", "bulk"] {
            let policy = Policy::of_queue(queue);
            let delays = (1..policy.attempts).map(|attempt| policy.backoff.delay(attempt, 0.5));
            assert!(delays.clone().all(|delay| delay <= Duration::from_secs(30 * 60)));
            assert!(delays.sum::<Duration>() > policy.max_age, "{queue}");
        }
    }

    #[test]
    fn fixed_backoff_has_no_jitter() {
        let backoff = Backoff::parse("fixed:10m", Duration::ZERO).expect("a backoff");
        assert_eq!([1, 9].map(|n| backoff.delay(n, 0.1).as_secs()), [600, 600]);
        assert!(Backoff::parse("fixed:10", Duration::ZERO).is_err());
    }
}

//! Finds a transport on which nothing is accepted for long. Pure: time is a parameter.

use std::time::Duration;

use super::breaker::BreakerOutcome;

/// Time without an acceptance on a transport that has never accepted a mail.
const AT_FIRST: Duration = Duration::from_secs(60);
/// Time without an acceptance before the alert, on a transport that has accepted mail before. Its
/// server may throttle for long.
const LATER: Duration = Duration::from_secs(15 * 60);

/// Time since which a transport has accepted nothing, and its last reply.
#[derive(Debug, Default)]
pub(super) struct Starvation {
    has_worked: bool,
    since: Option<Duration>,
    why: String,
    alerted: bool,
}

impl Starvation {
    /// Records an outcome, with the reply of a failed attempt.
    pub(super) fn record(&mut self, outcome: BreakerOutcome, reply: Option<&str>, now: Duration) {
        match outcome {
            BreakerOutcome::Works => *self = Self { has_worked: true, ..Self::default() },
            BreakerOutcome::MailRefused => *self = Self { has_worked: self.has_worked, ..Self::default() },
            BreakerOutcome::Nothing => {}
            BreakerOutcome::Suspected
            | BreakerOutcome::AllRefused
            | BreakerOutcome::Throttled
            | BreakerOutcome::Unreachable
            | BreakerOutcome::Broke
            | BreakerOutcome::Account => {
                self.since.get_or_insert(now);
                reply.unwrap_or_default().clone_into(&mut self.why);
            }
        }
    }

    /// Whether an alert was raised and has not ended.
    pub(super) fn is_alerted(&self) -> bool {
        self.alerted
    }

    /// Returns the seconds without an acceptance and the last reply, once, when it has been long.
    pub(super) fn begins(&mut self, now: Duration) -> Option<(u64, String)> {
        let limit = if self.has_worked { LATER } else { AT_FIRST };
        let span = now.saturating_sub(self.since?);
        (span >= limit && !std::mem::replace(&mut self.alerted, span >= limit))
            .then(|| (span.as_secs(), self.why.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::breaker::BreakerOutcome::*, *};

    #[test]
    fn an_alert_begins_once_after_a_minute_without_an_acceptance() {
        for (name, outcomes, at, expected) in [
            ("no mail", &[][..], 999, false),
            ("throttled for a minute", &[(0, Throttled), (50, Throttled)], 60, true),
            ("not yet", &[(1, Throttled)], 60, false),
            ("accepted", &[(0, Throttled), (5, Works)], 999, false),
            ("dead addresses only", &[(0, Unreachable), (5, MailRefused)], 999, false),
            ("worked before", &[(0, Works), (1, Throttled)], 900, false),
            ("worked long ago", &[(0, Works), (1, Throttled)], 901, true),
        ] {
            let mut starvation = Starvation::default();
            for (second, outcome) in outcomes {
                starvation.record(*outcome, Some("421 no"), Duration::from_secs(*second));
            }
            let begins = starvation.begins(Duration::from_secs(at));
            assert_eq!(begins.is_some(), expected, "{name}: {begins:?}");
            assert_eq!(starvation.begins(Duration::from_secs(at)), None, "{name}, again");
            assert_eq!(starvation.is_alerted(), expected, "{name}");
        }
    }
}

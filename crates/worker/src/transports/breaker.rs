//! Circuit breaker of a transport. Pure: time and chance are parameters.
//!
//! ```text
//!                    login refused,
//!                  throttled for 2 s,
//!               all mails refused alike,
//!                   3 failures in a row            pause ends
//!         closed ------------------------> open ---------------> half-open (one probe)
//!           ^                               ^                      |          |
//!           |                               +--- probe fails ------+          |
//!           +------------------- server answers ------------------------------+
//! ```

use std::time::Duration;

/// Number of consecutive failures that open the circuit.
const MAX_FAILURES: u32 = 3;
/// Time of throttling without a success that opens the circuit. Shorter throttling lowers the send
/// rate instead.
const THROTTLE_LIMIT: Duration = Duration::from_secs(2);
/// First pause; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause for a server that cannot be reached or refuses the login.
const LONGEST_DOWN: Duration = Duration::from_secs(30);
/// Longest pause for a server that throttles.
const LONGEST_THROTTLED: Duration = Duration::from_secs(60);

/// Circuit breaker: admits mail or refuses it.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    circuit: Circuit,
    /// Consecutive failures while closed.
    failures: u32,
    /// Start of throttling without a success between.
    throttled_since: Option<Duration>,
    /// Number of openings since the circuit was last closed.
    rounds: u32,
    /// ActiveAlert when the circuit opens: outcomes of mail admitted before say nothing new.
    epoch: u64,
    /// ActiveAlert at each failure.
    failures_total: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Circuit {
    #[default]
    Closed,
    Open {
        cause: Cause,
        until: Duration,
    },
    /// One mail probes the server.
    Probing {
        cause: Cause,
    },
}

/// Reason for an open circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The server throttles.
    Throttled,
    /// No connection is established or lasts.
    Unreachable,
    /// The server refuses the login or the account.
    Account,
    /// The server refuses all mails alike.
    Refused,
}

/// Outcome of an attempt, as the breaker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerOutcome {
    /// The server accepted the mail.
    Works,
    /// The server refused the mail for a reason of its own.
    MailRefused,
    /// The server refused the mail, maybe for a reason of ours.
    Suspected,
    /// The server refused the mail like all others.
    AllRefused,
    /// The server throttled the mail.
    Throttled,
    /// No session was established.
    Unreachable,
    /// An established session broke. Many may break at the same moment, as when a server restarts,
    /// so all that were under way together count once.
    Broke,
    /// The server refuses the login or the account.
    Account,
    /// Nothing was learned about the server.
    Nothing,
}

/// Permit of an admitted mail, handed back with its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BreakerPermit {
    epoch: u64,
    failures_total: u64,
}

/// State of the circuit at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerState {
    /// All mail is admitted.
    Closed,
    /// One mail is admitted as a probe.
    HalfOpen,
    /// No mail is admitted before this time; `None` while a probe is under way.
    Open(Option<Duration>),
}

impl Breaker {
    /// Admits one mail if the circuit allows it.
    pub(crate) fn admit(&mut self, now: Duration) -> Option<BreakerPermit> {
        match self.state(now) {
            BreakerState::Closed => {}
            BreakerState::HalfOpen => {
                self.circuit = self.cause().map_or(Circuit::Closed, |cause| Circuit::Probing { cause });
            }
            BreakerState::Open(_) => return None,
        }
        Some(BreakerPermit { epoch: self.epoch, failures_total: self.failures_total })
    }

    /// Returns the state at this time.
    pub(crate) fn state(&self, now: Duration) -> BreakerState {
        match self.circuit {
            Circuit::Closed => BreakerState::Closed,
            Circuit::Open { until, .. } if until <= now => BreakerState::HalfOpen,
            Circuit::Open { until, .. } => BreakerState::Open(Some(until)),
            Circuit::Probing { .. } => BreakerState::Open(None),
        }
    }

    /// Returns the reason for an open circuit; `None` if it is closed.
    pub(crate) fn cause(&self) -> Option<Cause> {
        match self.circuit {
            Circuit::Closed => None,
            Circuit::Open { cause, .. } | Circuit::Probing { cause } => Some(cause),
        }
    }

    /// Records the outcome of an admitted mail; `chance` is 0.0 to 1.0.
    pub(crate) fn record(&mut self, permit: BreakerPermit, outcome: BreakerOutcome, now: Duration, chance: f64) {
        if permit.epoch != self.epoch {
            return;
        }
        match outcome {
            BreakerOutcome::Works => self.close(),
            // Other mail may still be refused for the reason that opened the circuit.
            BreakerOutcome::MailRefused if self.cause() == Some(Cause::Refused) => self.probe_again(now),
            BreakerOutcome::Suspected if self.cause() == Some(Cause::Refused) => self.open(Cause::Refused, now, chance),
            BreakerOutcome::Suspected if self.circuit == Circuit::Closed => {}
            BreakerOutcome::MailRefused | BreakerOutcome::Suspected => self.close(),
            BreakerOutcome::AllRefused => self.open(Cause::Refused, now, chance),
            BreakerOutcome::Throttled => self.throttle(now, chance),
            BreakerOutcome::Account => self.open(Cause::Account, now, chance),
            BreakerOutcome::Unreachable => self.fail(now, chance),
            BreakerOutcome::Broke if permit.failures_total == self.failures_total => self.fail(now, chance),
            BreakerOutcome::Broke => {}
            BreakerOutcome::Nothing => self.probe_again(now),
        }
    }

    fn close(&mut self) {
        *self = Self { epoch: self.epoch, failures_total: self.failures_total, ..Self::default() };
    }

    /// Lets the next mail probe the server without a pause.
    fn probe_again(&mut self, now: Duration) {
        if let Circuit::Probing { cause } = self.circuit {
            self.circuit = Circuit::Open { cause, until: now };
        }
    }

    fn throttle(&mut self, now: Duration, chance: f64) {
        let since = *self.throttled_since.get_or_insert(now);
        if now - since >= THROTTLE_LIMIT || self.circuit != Circuit::Closed {
            self.open(Cause::Throttled, now, chance);
        }
    }

    fn fail(&mut self, now: Duration, chance: f64) {
        self.failures_total += 1;
        self.failures += 1;
        if self.failures >= MAX_FAILURES || self.circuit != Circuit::Closed {
            self.open(Cause::Unreachable, now, chance);
        }
    }

    fn open(&mut self, cause: Cause, now: Duration, chance: f64) {
        let longest = match cause {
            Cause::Throttled => LONGEST_THROTTLED,
            Cause::Unreachable | Cause::Account | Cause::Refused => LONGEST_DOWN,
        };
        let pause = FIRST_PAUSE.saturating_mul(1 << self.rounds.min(10)).min(longest);
        self.circuit = Circuit::Open { cause, until: now + pause.mul_f64(0.75 + chance / 2.0) };
        self.rounds += 1;
        self.epoch += 1;
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{BreakerOutcome::*, *};

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Name, mails in sequence with their times and outcomes, and the state right after the last.
    type BreakerCase = (&'static str, &'static [(u64, BreakerOutcome)], BreakerState);

    const fn open_until(ms: u64) -> BreakerState {
        BreakerState::Open(Some(at(ms)))
    }

    #[test]
    fn outcomes_in_sequence_lead_to_the_expected_state() {
        let rows: &[BreakerCase] = &[
            ("no mail yet", &[], BreakerState::Closed),
            ("mail is sent", &[(0, Works), (1, Works)], BreakerState::Closed),
            ("two failures", &[(0, Unreachable), (1, Broke)], BreakerState::Closed),
            (
                "a success between failures",
                &[(0, Broke), (1, Unreachable), (2, Works), (3, Broke), (4, Broke)],
                BreakerState::Closed,
            ),
            ("no outcome is no success", &[(0, Broke), (1, Broke), (2, Nothing), (3, Broke)], open_until(1_003)),
            ("three failures in a row", &[(0, Unreachable), (1, Unreachable), (2, Unreachable)], open_until(1_002)),
            ("a refused login opens at once", &[(5, Account)], open_until(1_005)),
            ("throttled for less than two seconds", &[(5, Throttled), (2_004, Throttled)], BreakerState::Closed),
            ("throttled for two seconds", &[(5, Throttled), (500, Throttled), (2_005, Throttled)], open_until(3_005)),
            (
                "a success between throttled mails",
                &[(5, Throttled), (500, Works), (2_005, Throttled)],
                BreakerState::Closed,
            ),
            ("all mails are refused alike", &[(0, Suspected), (5, AllRefused)], open_until(1_005)),
            ("one mail is refused", &[(0, MailRefused), (1, Suspected), (2, MailRefused)], BreakerState::Closed),
            ("a suspected probe", &[(0, AllRefused), (1_000, Suspected)], open_until(3_000)),
            ("a probe refused for itself", &[(0, AllRefused), (1_000, MailRefused)], BreakerState::HalfOpen),
            ("an accepted probe", &[(0, AllRefused), (1_000, Works)], BreakerState::Closed),
            ("a login works again, one mail is refused", &[(0, Account), (1_000, Suspected)], BreakerState::Closed),
            ("half-open", &[(0, Account), (1_000, Nothing)], BreakerState::HalfOpen),
            ("a successful probe", &[(0, Account), (1_000, Works)], BreakerState::Closed),
            ("a failed probe", &[(0, Account), (1_000, Account)], open_until(3_000)),
            ("a second failed probe", &[(0, Account), (1_000, Unreachable), (3_000, Broke)], open_until(7_000)),
            ("a probe with another failure", &[(0, Account), (1_000, Throttled)], open_until(3_000)),
            (
                "the pause starts over after a success",
                &[(0, Account), (1_000, Works), (1_001, Account)],
                open_until(2_001),
            ),
            (
                "the failures start over after a success",
                &[(0, Account), (1_000, Works), (1_001, Broke), (1_002, Broke)],
                BreakerState::Closed,
            ),
        ];
        for (name, mails, expected) in rows {
            let mut breaker = Breaker::default();
            let mut last = 0;
            for (ms, outcome) in *mails {
                let permit = breaker.admit(at(*ms)).unwrap_or_else(|| panic!("{name}: not admitted at {ms}"));
                breaker.record(permit, *outcome, at(*ms), 0.5);
                last = *ms;
            }
            assert_eq!(breaker.state(at(last)), *expected, "{name}");
            assert_eq!(breaker.cause().is_none(), *expected == BreakerState::Closed, "{name}");
        }
    }

    #[test]
    fn a_half_open_circuit_admits_one_probe_at_a_time() {
        let mut breaker = Breaker::default();
        let permit = breaker.admit(at(0)).expect("closed");
        breaker.record(permit, Account, at(0), 0.5);
        assert_eq!(breaker.admit(at(999)), None, "open");
        let probe = breaker.admit(at(1_000)).expect("half open");
        assert_eq!(
            (breaker.admit(at(9_000)), breaker.state(at(9_000))),
            (None, BreakerState::Open(None)),
            "a probe is under way"
        );
        breaker.record(probe, Nothing, at(9_000), 0.5);
        assert!(breaker.admit(at(9_000)).is_some(), "the next probe is admitted without a pause");
    }

    #[test]
    fn outcomes_of_mail_admitted_before_the_opening_are_ignored() {
        let mut breaker = Breaker::default();
        let permits: Vec<BreakerPermit> = (0..10).filter_map(|_| breaker.admit(at(0))).collect();
        breaker.record(permits[0], Account, at(10), 0.5);
        for permit in &permits[1..] {
            breaker.record(*permit, Account, at(20), 0.5);
        }
        assert_eq!(breaker.state(at(20)), open_until(1_010), "one opening, one pause");
        breaker.record(permits[1], Works, at(30), 0.5);
        assert_eq!(breaker.state(at(30)), open_until(1_010), "an old session proves nothing");
        let probe = breaker.admit(at(2_000)).expect("half open");
        breaker.record(permits[2], Account, at(2_000), 0.5);
        breaker.record(probe, Works, at(2_001), 0.5);
        breaker.record(permits[3], Account, at(2_002), 0.5);
        assert_eq!(breaker.state(at(2_002)), BreakerState::Closed);
    }

    #[test]
    fn sessions_that_break_together_count_once() {
        let mut breaker = Breaker::default();
        for round in 1..=MAX_FAILURES {
            assert_eq!(breaker.state(at(0)), BreakerState::Closed, "round {round}");
            let permits: Vec<BreakerPermit> = (0..10).filter_map(|_| breaker.admit(at(0))).collect();
            for permit in permits {
                breaker.record(permit, Broke, at(0), 0.5);
            }
        }
        assert_eq!(breaker.cause(), Some(Cause::Unreachable));
    }

    /// An hour of outage costs few probes, and at least 750 ms lie between two.
    #[test]
    fn an_hour_of_outage_costs_few_probes() {
        for (outcome, longest, most) in [(Unreachable, 30, 165), (Throttled, 60, 90)] {
            let mut breaker = Breaker::default();
            let (mut now, mut tries) = (Duration::ZERO, 0_u32);
            while now < Duration::from_secs(3_600) {
                tries += 1;
                let permit = breaker.admit(now).expect("half-open");
                let chance = f64::from(tries % 11) / 10.0;
                breaker.record(permit, outcome, now, chance);
                match breaker.state(now) {
                    BreakerState::Open(Some(until)) => {
                        let pause = until - now;
                        assert!((at(750)..=Duration::from_secs(longest).mul_f64(1.25)).contains(&pause), "{pause:?}");
                        now = until;
                    }
                    // The first failures do not open the circuit.
                    _ => now += Duration::from_secs(1),
                }
            }
            assert!((3_600 / longest / 2..most).contains(&u64::from(tries)), "{tries} tries");
            let permit = breaker.admit(now).expect("half-open");
            breaker.record(permit, Works, now, 0.0);
            assert_eq!(breaker.state(now), BreakerState::Closed);
        }
    }
}

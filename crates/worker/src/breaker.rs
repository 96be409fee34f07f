//! When no mail is handed to a transport any more, and when it is tried again. Pure: time and chance are given.
//!
//! ```text
//! closed --account; two seconds of throttling; three failures in a row--> open --its pause is over--> one mail tries
//!   ^                                                      ^                              |
//!   |                                                      +------- it failed: longer ----+
//!   +------------------------------------------------------------- the server answered ---+
//! ```

use std::time::Duration;

/// So many failures in a row are no hiccup any more.
const MISSES: u32 = 3;
/// A server that throttles for so long and takes nothing between wants no less, it wants nothing for now. What it wants less of is the
/// pace's to find.
const THROTTLED: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause of a server that can't be reached, and of one that wants less.
const LONGEST_DOWN: Duration = Duration::from_secs(30);
const LONGEST_THROTTLED: Duration = Duration::from_secs(60);

/// Lets mail through, or does not.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: State,
    /// Failures in a row while it is closed.
    misses: u32,
    /// Since when all that is heard is that it wants less.
    throttled_since: Option<Duration>,
    /// How often it opened since it was closed.
    rounds: u32,
    /// Raised when it opens: what was under way then tells nothing new.
    epoch: u64,
    /// Raised at each failure.
    missed: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Open {
        cause: Cause,
        until: Duration,
    },
    /// One mail tries it.
    Probed {
        cause: Cause,
    },
}

/// Why it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The server wants less.
    Throttled,
    /// No connection to it holds.
    Unreachable,
    /// Our login or account is refused.
    Account,
}

/// What a mail's try tells about its transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lesson {
    /// The server spoke about the mail, whatever it said.
    Works,
    /// It wants less.
    Throttled,
    /// No session came about.
    Unreachable,
    /// A session that stood has broken. Many may break at the same moment, as when a server is started anew, so all that
    /// were under way together tell this once.
    Broke,
    /// Our login or account is refused.
    Account,
    /// Nothing: it never came to that.
    Nothing,
}

/// What a mail that was let through shows when it is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pass {
    epoch: u64,
    missed: u64,
}

/// Whether mail would be let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// All of it.
    Clear,
    /// One, to try.
    ForOne,
    /// None before that; unknown while one tries.
    Shut(Option<Duration>),
}

impl Breaker {
    /// Lets one mail through, if any may go.
    pub(crate) fn admit(&mut self, now: Duration) -> Option<Pass> {
        match self.way(now) {
            Way::Clear => {}
            Way::ForOne => self.state = self.cause().map_or(State::Closed, |cause| State::Probed { cause }),
            Way::Shut(_) => return None,
        }
        Some(Pass { epoch: self.epoch, missed: self.missed })
    }

    /// Whether a mail would be let through now.
    pub(crate) fn way(&self, now: Duration) -> Way {
        match self.state {
            State::Closed => Way::Clear,
            State::Open { until, .. } if until <= now => Way::ForOne,
            State::Open { until, .. } => Way::Shut(Some(until)),
            State::Probed { .. } => Way::Shut(None),
        }
    }

    /// Why it is open; `None` when it is closed.
    pub(crate) fn cause(&self) -> Option<Cause> {
        match self.state {
            State::Closed => None,
            State::Open { cause, .. } | State::Probed { cause } => Some(cause),
        }
    }

    /// Takes in what a mail that was let through has met; `chance` is 0.0 to 1.0.
    pub(crate) fn learn(&mut self, pass: Pass, lesson: Lesson, now: Duration, chance: f64) {
        if pass.epoch != self.epoch {
            return;
        }
        match lesson {
            Lesson::Works => *self = Self { epoch: self.epoch, missed: self.missed, ..Self::default() },
            Lesson::Throttled => self.throttle(now, chance),
            Lesson::Account => self.open(Cause::Account, now, chance),
            Lesson::Unreachable => self.miss(now, chance),
            Lesson::Broke if pass.missed == self.missed => self.miss(now, chance),
            Lesson::Broke => {}
            Lesson::Nothing => {
                if let State::Probed { cause } = self.state {
                    self.state = State::Open { cause, until: now };
                }
            }
        }
    }

    fn throttle(&mut self, now: Duration, chance: f64) {
        let since = *self.throttled_since.get_or_insert(now);
        if now - since >= THROTTLED || self.state != State::Closed {
            self.open(Cause::Throttled, now, chance);
        }
    }

    fn miss(&mut self, now: Duration, chance: f64) {
        self.missed += 1;
        self.misses += 1;
        if self.misses >= MISSES || self.state != State::Closed {
            self.open(Cause::Unreachable, now, chance);
        }
    }

    fn open(&mut self, cause: Cause, now: Duration, chance: f64) {
        let longest = match cause {
            Cause::Throttled => LONGEST_THROTTLED,
            Cause::Unreachable | Cause::Account => LONGEST_DOWN,
        };
        let pause = FIRST_PAUSE.saturating_mul(1 << self.rounds.min(10)).min(longest);
        self.state = State::Open { cause, until: now + pause.mul_f64(0.75 + chance / 2.0) };
        self.rounds += 1;
        self.epoch += 1;
        self.misses = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{Lesson::*, *};

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Mails one after another: when each comes, what it meets; what the way is like right after it.
    type Row = (&'static str, &'static [(u64, Lesson)], Way);

    const fn shut(ms: u64) -> Way {
        Way::Shut(Some(at(ms)))
    }

    #[test]
    fn one_mail_after_another() {
        let rows: &[Row] = &[
            ("nothing yet", &[], Way::Clear),
            ("mail goes", &[(0, Works), (1, Works)], Way::Clear),
            ("a hiccup", &[(0, Unreachable), (1, Broke)], Way::Clear),
            ("with a success between", &[(0, Broke), (1, Unreachable), (2, Works), (3, Broke), (4, Broke)], Way::Clear),
            ("what tells nothing is no success", &[(0, Broke), (1, Broke), (2, Nothing), (3, Broke)], shut(1_003)),
            ("three in a row", &[(0, Unreachable), (1, Unreachable), (2, Unreachable)], shut(1_002)),
            ("the account, at once", &[(5, Account)], shut(1_005)),
            ("throttled, the pace drops", &[(5, Throttled), (2_004, Throttled)], Way::Clear),
            ("throttled for long", &[(5, Throttled), (500, Throttled), (2_005, Throttled)], shut(3_005)),
            ("throttled now and then", &[(5, Throttled), (500, Works), (2_005, Throttled)], Way::Clear),
            ("the way for one", &[(0, Account), (1_000, Nothing)], Way::ForOne),
            ("a probe that works", &[(0, Account), (1_000, Works)], Way::Clear),
            ("a probe that fails", &[(0, Account), (1_000, Account)], shut(3_000)),
            ("and again", &[(0, Account), (1_000, Unreachable), (3_000, Broke)], shut(7_000)),
            ("another reason", &[(0, Account), (1_000, Throttled)], shut(3_000)),
            ("from the start after a success", &[(0, Account), (1_000, Works), (1_001, Account)], shut(2_001)),
            (
                "three again after a success",
                &[(0, Account), (1_000, Works), (1_001, Broke), (1_002, Broke)],
                Way::Clear,
            ),
        ];
        for (what, mails, way) in rows {
            let mut breaker = Breaker::default();
            let mut last = 0;
            for (ms, lesson) in *mails {
                let pass = breaker.admit(at(*ms)).unwrap_or_else(|| panic!("{what}: let through at {ms}"));
                breaker.learn(pass, *lesson, at(*ms), 0.5);
                last = *ms;
            }
            assert_eq!(breaker.way(at(last)), *way, "{what}");
            assert_eq!(breaker.cause().is_none(), *way == Way::Clear, "{what}");
        }
    }

    #[test]
    fn one_at_a_time_tries() {
        let mut breaker = Breaker::default();
        let pass = breaker.admit(at(0)).expect("closed");
        breaker.learn(pass, Account, at(0), 0.5);
        assert_eq!(breaker.admit(at(999)), None, "open");
        let probe = breaker.admit(at(1_000)).expect("half open");
        assert_eq!((breaker.admit(at(9_000)), breaker.way(at(9_000))), (None, Way::Shut(None)), "one tries already");
        breaker.learn(probe, Nothing, at(9_000), 0.5);
        assert!(breaker.admit(at(9_000)).is_some(), "the next one tries, with no pause lost");
    }

    #[test]
    fn what_was_under_way_when_it_opened_tells_nothing_new() {
        let mut breaker = Breaker::default();
        let passes: Vec<Pass> = (0..10).filter_map(|_| breaker.admit(at(0))).collect();
        breaker.learn(passes[0], Account, at(10), 0.5);
        for pass in &passes[1..] {
            breaker.learn(*pass, Account, at(20), 0.5);
        }
        assert_eq!(breaker.way(at(20)), shut(1_010), "one opening, one pause");
        breaker.learn(passes[1], Works, at(30), 0.5);
        assert_eq!(breaker.way(at(30)), shut(1_010), "an old session says nothing of a new one");
        let probe = breaker.admit(at(2_000)).expect("half open");
        breaker.learn(passes[2], Account, at(2_000), 0.5);
        breaker.learn(probe, Works, at(2_001), 0.5);
        breaker.learn(passes[3], Account, at(2_002), 0.5);
        assert_eq!(breaker.way(at(2_002)), Way::Clear);
    }

    #[test]
    fn sessions_that_break_together_are_one_hiccup() {
        let mut breaker = Breaker::default();
        for round in 1..=MISSES {
            assert_eq!(breaker.way(at(0)), Way::Clear, "round {round}");
            let passes: Vec<Pass> = (0..10).filter_map(|_| breaker.admit(at(0))).collect();
            for pass in passes {
                breaker.learn(pass, Broke, at(0), 0.5);
            }
        }
        assert_eq!(breaker.cause(), Some(Cause::Unreachable));
    }

    /// An hour without a server costs few tries, and none of them comes sooner than a second after the one before.
    #[test]
    fn an_hour_of_outage() {
        for (lesson, longest, most) in [(Unreachable, 30, 165), (Throttled, 60, 90)] {
            let mut breaker = Breaker::default();
            let (mut now, mut tries) = (Duration::ZERO, 0_u32);
            while now < Duration::from_secs(3_600) {
                tries += 1;
                let pass = breaker.admit(now).expect("its time has come");
                let chance = f64::from(tries % 11) / 10.0;
                breaker.learn(pass, lesson, now, chance);
                match breaker.way(now) {
                    Way::Shut(Some(until)) => {
                        let pause = until - now;
                        assert!((at(750)..=Duration::from_secs(longest).mul_f64(1.25)).contains(&pause), "{pause:?}");
                        now = until;
                    }
                    // It does not open at the first.
                    _ => now += Duration::from_secs(1),
                }
            }
            assert!((3_600 / longest / 2..most).contains(&u64::from(tries)), "{tries} tries");
            let pass = breaker.admit(now).expect("its time has come");
            breaker.learn(pass, Works, now, 0.0);
            assert_eq!(breaker.way(now), Way::Clear);
        }
    }
}

//! How many mails at once: between a minimum and a maximum, by what waits and by how the servers do. Pure: one step a second.

use std::{sync::Arc, time::Duration};

use postroom_core::{Shutdown, settings::Concurrency};

use crate::{office::Office, pulse::Beat, slots::Slots};

/// A server that takes so many times as long as at its best has too much to do.
const SLOW: f64 = 3.0;
/// What is known of its best fades, so that a server that became slower for good is not blamed for ever.
const FADING: f64 = 1.01;
/// Steps without a try after one that brought nothing, and after a server wanted less.
const REST: u32 = 10;
/// So many steps with room to spare, and it is one less.
const IDLE: u32 = 10;

/// The number, and what it follows from.
#[derive(Debug)]
pub(crate) struct Following {
    bounds: Concurrency,
    now: u32,
    /// A greater number is tried: what was before it.
    trial: Option<Trial>,
    best_ms: Option<f64>,
    rest: u32,
    idle: u32,
}

#[derive(Debug, Clone, Copy)]
struct Trial {
    number: u32,
    tries: u64,
}

impl Following {
    pub(crate) fn new(bounds: Concurrency) -> Self {
        Self { bounds, now: bounds.min, trial: None, best_ms: None, rest: 0, idle: 0 }
    }

    /// How many now.
    pub(crate) fn number(&self) -> u32 {
        self.now
    }

    /// One step, with what was seen since the last.
    pub(crate) fn step(&mut self, seen: &Beat) {
        let is_slow = self.is_slow(seen.mean_ms);
        self.rest = self.rest.saturating_sub(1);
        if seen.wants_less || (is_slow && seen.was_full) {
            self.shrink();
        } else if !seen.was_full {
            self.relax();
        } else {
            self.idle = 0;
            self.judge_trial(seen.tries);
            self.grow(seen.tries);
        }
    }

    fn is_slow(&mut self, mean_ms: Option<f64>) -> bool {
        let Some(mean) = mean_ms.map(|mean| mean.max(1.0)) else { return false };
        let best = self.best_ms.map_or(mean, |best| mean.min(best * FADING));
        self.best_ms = Some(best);
        mean > best * SLOW
    }

    /// A quarter less.
    fn shrink(&mut self) {
        self.now = (self.now - self.now.div_ceil(4)).max(self.bounds.min);
        self.trial = None;
        self.rest = REST;
    }

    /// With room to spare it becomes less, slowly.
    fn relax(&mut self) {
        self.trial = None;
        self.idle += 1;
        if self.idle >= IDLE {
            self.now = (self.now - 1).max(self.bounds.min);
        }
    }

    /// A greater number that did not bring a quarter of what it might have is taken back.
    fn judge_trial(&mut self, tries: u64) {
        let Some(before) = self.trial.take() else { return };
        let brought = tries.saturating_sub(before.tries) * u64::from(before.number);
        let promised = before.tries * u64::from(self.now - before.number);
        if brought * 4 < promised {
            self.now = before.number;
            self.rest = REST;
        }
    }

    /// A quarter more.
    fn grow(&mut self, tries: u64) {
        if self.rest == 0 && self.now < self.bounds.max {
            self.trial = Some(Trial { number: self.now, tries });
            self.now = (self.now + (self.now / 4).max(1)).min(self.bounds.max);
        }
    }
}

/// Opens as many slots as are to be used now.
pub(crate) async fn follow(office: Arc<Office>, slots: Arc<Slots>, shutdown: Shutdown) {
    let mut following = Following::new(office.settings.concurrency);
    loop {
        slots.open(usize::try_from(following.number()).unwrap_or(usize::MAX));
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => following.step(&office.pulse.take()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(tries: u64, mean_ms: f64) -> Beat {
        Beat { tries, mean_ms: Some(mean_ms), wants_less: false, was_full: true }
    }

    /// A server that takes `ms` for each of up to `width` mails at once; more at once only wait for each other.
    fn seconds(following: &mut Following, number: u32, ms: f64, width: u32) {
        for _ in 0..number {
            let at_once = f64::from(following.number());
            let mean = ms * (at_once / f64::from(width)).max(1.0);
            following.step(&beat((1_000.0 * at_once / mean) as u64, mean));
        }
    }

    #[test]
    fn it_grows_while_that_brings_more() {
        let mut following = Following::new(Concurrency { min: 3, max: 10 });
        assert_eq!(following.number(), 3);
        seconds(&mut following, 20, 50.0, 100);
        assert_eq!(following.number(), 10);
    }

    #[test]
    fn it_stays_where_more_brings_nothing() {
        let mut following = Following::new(Concurrency { min: 3, max: 100 });
        seconds(&mut following, 300, 50.0, 12);
        assert!((10..=18).contains(&following.number()), "{}", following.number());
    }

    #[test]
    fn it_falls_when_a_server_wants_less_or_gets_slow_or_nothing_waits() {
        let full = || {
            let mut following = Following::new(Concurrency { min: 3, max: 16 });
            seconds(&mut following, 30, 50.0, 100);
            assert_eq!(following.number(), 16);
            following
        };
        let mut following = full();
        following.step(&Beat { wants_less: true, ..beat(100, 50.0) });
        assert_eq!(following.number(), 12);
        let mut following = full();
        following.step(&beat(100, 500.0));
        assert_eq!(following.number(), 12);
        let mut following = full();
        for _ in 0..200 {
            following.step(&Beat { was_full: false, ..beat(3, 50.0) });
        }
        assert_eq!(following.number(), 3);
    }

    #[test]
    fn a_fixed_number_stays() {
        let mut following = Following::new(Concurrency { min: 4, max: 4 });
        seconds(&mut following, 20, 50.0, 100);
        following.step(&Beat { wants_less: true, ..beat(1, 9_999.0) });
        assert_eq!(following.number(), 4);
    }
}

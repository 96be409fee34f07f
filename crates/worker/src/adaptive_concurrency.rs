//! Adaptive concurrency: the number of mails sent at once, between a minimum and a maximum, from
//! what waits and how the servers respond. Pure: one step a second.

use std::{sync::Arc, time::Duration};

use postroom_core::{Shutdown, settings::Concurrency};

use crate::{
    permits::Slots,
    send_stats::{Sample, SendStats},
};

/// A server is overloaded if it takes this many times its best response time.
const SLOW: f64 = 3.0;
/// Factor by which the best response time rises each step, so that a permanently slower server is
/// not taken for overloaded.
const BEST_DECAY: f64 = 1.01;
/// Steps without an increase after one that brought nothing, and after throttling.
const REST_STEPS: u32 = 10;
/// Idle steps after which the number shrinks by one.
const IDLE_STEPS: u32 = 10;

/// The number of concurrent mails and the state behind it.
#[derive(Debug)]
pub(crate) struct AdaptiveConcurrency {
    bounds: Concurrency,
    now: u32,
    /// The state before an increase under evaluation.
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

impl AdaptiveConcurrency {
    pub(crate) fn new(bounds: Concurrency) -> Self {
        Self { bounds, now: bounds.min, trial: None, best_ms: None, rest: 0, idle: 0 }
    }

    /// Returns the current number.
    pub(crate) fn number(&self) -> u32 {
        self.now
    }

    /// Makes one step from the sample of the last second.
    pub(crate) fn step(&mut self, sample: &Sample) {
        let is_slow = self.is_slow(sample.mean_ms);
        self.rest = self.rest.saturating_sub(1);
        if sample.is_throttled || (is_slow && sample.was_full) {
            self.shrink();
        } else if !sample.was_full {
            self.relax();
        } else {
            self.idle = 0;
            self.judge_trial(sample.attempts);
            self.grow(sample.attempts);
        }
    }

    fn is_slow(&mut self, mean_ms: Option<f64>) -> bool {
        let Some(mean) = mean_ms.map(|mean| mean.max(1.0)) else { return false };
        let best = self.best_ms.map_or(mean, |best| mean.min(best * BEST_DECAY));
        self.best_ms = Some(best);
        mean > best * SLOW
    }

    /// Shrinks by a quarter.
    fn shrink(&mut self) {
        self.now = (self.now - self.now.div_ceil(4)).max(self.bounds.min);
        self.trial = None;
        self.rest = REST_STEPS;
    }

    /// Shrinks slowly while not all slots are in use.
    fn relax(&mut self) {
        self.trial = None;
        self.idle += 1;
        if self.idle >= IDLE_STEPS {
            self.now = (self.now - 1).max(self.bounds.min);
        }
    }

    /// Reverts an increase that brought less than a quarter of the expected throughput.
    fn judge_trial(&mut self, tries: u64) {
        let Some(before) = self.trial.take() else { return };
        let brought = tries.saturating_sub(before.tries) * u64::from(before.number);
        let promised = before.tries * u64::from(self.now - before.number);
        if brought * 4 < promised {
            self.now = before.number;
            self.rest = REST_STEPS;
        }
    }

    /// Grows by a quarter.
    fn grow(&mut self, tries: u64) {
        if self.rest == 0 && self.now < self.bounds.max {
            self.trial = Some(Trial { number: self.now, tries });
            self.now = (self.now + (self.now / 4).max(1)).min(self.bounds.max);
        }
    }
}

/// Opens slots as the adaptive concurrency decides, until shutdown.
pub(crate) async fn adapt_slots(bounds: Concurrency, stats: Arc<SendStats>, slots: Arc<Slots>, shutdown: Shutdown) {
    let mut concurrency = AdaptiveConcurrency::new(bounds);
    loop {
        slots.resize(usize::try_from(concurrency.number()).unwrap_or(usize::MAX));
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => concurrency.step(&stats.take_sample()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(attempts: u64, mean_ms: f64) -> Sample {
        Sample { attempts, mean_ms: Some(mean_ms), is_throttled: false, was_full: true }
    }

    /// Runs seconds against a server that takes `ms` for each of up to `width` mails at once. Mails
    /// beyond the width wait for each other.
    fn seconds(concurrency: &mut AdaptiveConcurrency, number: u32, ms: f64, width: u32) {
        for _ in 0..number {
            let at_once = f64::from(concurrency.number());
            let mean = ms * (at_once / f64::from(width)).max(1.0);
            concurrency.step(&sample((1_000.0 * at_once / mean) as u64, mean));
        }
    }

    #[test]
    fn the_number_grows_while_throughput_grows() {
        let mut concurrency = AdaptiveConcurrency::new(Concurrency { min: 3, max: 10 });
        assert_eq!(concurrency.number(), 3);
        seconds(&mut concurrency, 20, 50.0, 100);
        assert_eq!(concurrency.number(), 10);
    }

    #[test]
    fn the_number_stays_where_more_brings_nothing() {
        let mut concurrency = AdaptiveConcurrency::new(Concurrency { min: 3, max: 100 });
        seconds(&mut concurrency, 300, 50.0, 12);
        assert!((10..=18).contains(&concurrency.number()), "{}", concurrency.number());
    }

    #[test]
    fn the_number_falls_when_a_server_throttles_or_slows_down_or_nothing_waits() {
        let full = || {
            let mut concurrency = AdaptiveConcurrency::new(Concurrency { min: 3, max: 16 });
            seconds(&mut concurrency, 30, 50.0, 100);
            assert_eq!(concurrency.number(), 16);
            concurrency
        };
        let mut concurrency = full();
        concurrency.step(&Sample { is_throttled: true, ..sample(100, 50.0) });
        assert_eq!(concurrency.number(), 12);
        let mut concurrency = full();
        concurrency.step(&sample(100, 500.0));
        assert_eq!(concurrency.number(), 12);
        let mut concurrency = full();
        for _ in 0..200 {
            concurrency.step(&Sample { was_full: false, ..sample(3, 50.0) });
        }
        assert_eq!(concurrency.number(), 3);
    }

    #[test]
    fn a_fixed_number_stays() {
        let mut concurrency = AdaptiveConcurrency::new(Concurrency { min: 4, max: 4 });
        seconds(&mut concurrency, 20, 50.0, 100);
        concurrency.step(&Sample { is_throttled: true, ..sample(1, 9_999.0) });
        assert_eq!(concurrency.number(), 4);
    }
}

//! Wrong passwords: slow, and ever slower from one place.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What a wrong password costs.
pub(super) const DELAY: Duration = Duration::from_millis(300);

/// So many wrong ones are judged without a pause; a person mistypes.
const FREE: u32 = 10;
/// The first pause after that; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A place without wrong passwords for this long starts anew.
const FORGET: Duration = Duration::from_secs(600);
/// Beyond so many places the one whose last wrong password is the oldest is forgotten: memory has an end.
const MOST_PLACES: usize = 10_000;

/// How many wrong passwords came from where. No place has to wait for what others do.
#[derive(Debug, Default)]
pub(super) struct Tries(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    all: HashMap<IpAddr, Wrong>,
    /// The places by their last try, the oldest first.
    order: BTreeMap<u64, IpAddr>,
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Wrong {
    number: u32,
    last: Instant,
    order: u64,
}

impl Tries {
    /// Counts one try before it is judged, so that many at once are counted too; how long to wait if it came too soon.
    pub(super) fn take(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let (mut places, place) = (self.lock(), place(from));
        let known = places.all.get(&place).copied().filter(|known| now.duration_since(known.last) < FORGET);
        let number = known.map_or(0, |known| known.number);
        let since = known.map_or(FORGET, |known| now.duration_since(known.last));
        match pause(number).checked_sub(since).filter(|left| !left.is_zero()) {
            Some(left) => Err(left),
            None => {
                places.note(place, number + 1, now);
                Ok(())
            }
        }
    }

    /// Takes a try back: it was right.
    pub(super) fn give_back(&self, from: IpAddr) {
        let (mut places, place) = (self.lock(), place(from));
        let Some(wrong) = places.all.get_mut(&place) else { return };
        wrong.number = wrong.number.saturating_sub(1);
        if wrong.number == 0 {
            places.forget(place);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn note(&mut self, place: IpAddr, number: u32, now: Instant) {
        self.forget(place);
        while self.all.len() >= MOST_PLACES {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.all.remove(&oldest);
        }
        self.all.insert(place, Wrong { number, last: now, order: self.next });
        self.order.insert(self.next, place);
        self.next += 1;
    }

    fn forget(&mut self, place: IpAddr) {
        if let Some(known) = self.all.remove(&place) {
            self.order.remove(&known.order);
        }
    }
}

/// What has to pass after so many wrong ones.
fn pause(number: u32) -> Duration {
    match number.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(further) => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(further)).min(LONGEST_PAUSE),
    }
}

/// Who has one IPv6 address has the whole /64.
fn place(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ever_slower_from_one_place() {
        let (tries, mut now) = (Tries::default(), Instant::now());
        let (here, there): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        for _ in 0..FREE {
            assert_eq!(tries.take(here, now), Ok(()));
        }
        for seconds in [2, 4, 8, 16, 30, 30] {
            assert_eq!(tries.take(here, now), Err(Duration::from_secs(seconds)));
            now += Duration::from_secs(seconds);
            assert_eq!(tries.take(here, now), Ok(()), "after its pause");
        }
        assert_eq!(tries.take(there, now), Ok(()), "others may");
        assert_eq!(tries.take(here, now + FORGET), Ok(()));
        assert_eq!(tries.take(here, now + FORGET), Ok(()), "it starts anew");
    }

    #[test]
    fn right_ones_do_not_count() {
        let (tries, now) = (Tries::default(), Instant::now());
        let here: IpAddr = "2001:db8::1".parse().expect("an address");
        for _ in 0..100 {
            assert_eq!(tries.take(here, now), Ok(()));
            tries.give_back("2001:db8::2".parse().expect("of the same /64"));
        }
        assert!(tries.lock().all.is_empty() && tries.lock().order.is_empty());
    }

    #[test]
    fn the_oldest_is_forgotten_when_there_are_too_many() {
        let (tries, now) = (Tries::default(), Instant::now());
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        for number in 0..MOST_PLACES as u32 + 5 {
            assert_eq!(tries.take(address(number), now), Ok(()));
        }
        let places = tries.lock();
        assert_eq!((places.all.len(), places.order.len()), (MOST_PLACES, MOST_PLACES));
        assert!(!places.all.contains_key(&address(4)) && places.all.contains_key(&address(5)));
    }
}

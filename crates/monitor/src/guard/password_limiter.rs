//! Rate limiter of wrong passwords, per address.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Delay of the response to a wrong password.
pub(super) const DELAY: Duration = Duration::from_millis(300);

/// Number of wrong passwords without a pause, for typing errors.
const FREE: u32 = 10;
/// First pause after that; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// An address without wrong passwords for this long starts again from zero.
const FORGET: Duration = Duration::from_secs(600);
/// Maximum number of addresses. Beyond it, the address with the oldest wrong password is forgotten.
const MAX_ADDRESSES: usize = 10_000;

/// Numbers of wrong passwords by address. No address waits for the attempts of others.
#[derive(Debug, Default)]
pub(super) struct PasswordLimiter(Mutex<AddressTable>);

#[derive(Debug, Default)]
struct AddressTable {
    all: HashMap<IpAddr, WrongPasswords>,
    /// Addresses by their last attempt, the oldest first.
    order: BTreeMap<u64, IpAddr>,
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct WrongPasswords {
    number: u32,
    last: Instant,
    order: u64,
}

impl PasswordLimiter {
    /// Counts an attempt before it is checked, so that parallel ones count too.
    ///
    /// # Errors
    /// Returns the remaining pause if the attempt is too early.
    pub(super) fn take(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let (mut table, address) = (self.lock(), network_of(from));
        let known = table.all.get(&address).copied().filter(|known| now.duration_since(known.last) < FORGET);
        let number = known.map_or(0, |known| known.number);
        let since = known.map_or(FORGET, |known| now.duration_since(known.last));
        match pause(number).checked_sub(since).filter(|left| !left.is_zero()) {
            Some(left) => Err(left),
            None => {
                table.note(address, number + 1, now);
                Ok(())
            }
        }
    }

    /// Takes back an attempt, because the password was right.
    pub(super) fn refund(&self, from: IpAddr) {
        let (mut table, address) = (self.lock(), network_of(from));
        let Some(wrong) = table.all.get_mut(&address) else { return };
        wrong.number = wrong.number.saturating_sub(1);
        if wrong.number == 0 {
            table.forget(address);
        }
    }

    fn lock(&self) -> MutexGuard<'_, AddressTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AddressTable {
    fn note(&mut self, address: IpAddr, number: u32, now: Instant) {
        self.forget(address);
        while self.all.len() >= MAX_ADDRESSES {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.all.remove(&oldest);
        }
        self.all.insert(address, WrongPasswords { number, last: now, order: self.next });
        self.order.insert(self.next, address);
        self.next += 1;
    }

    fn forget(&mut self, address: IpAddr) {
        if let Some(known) = self.all.remove(&address) {
            self.order.remove(&known.order);
        }
    }
}

/// Returns the pause after a number of wrong passwords.
fn pause(number: u32) -> Duration {
    match number.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(further) => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(further)).min(LONGEST_PAUSE),
    }
}

/// Returns the address, or the /64 network of an IPv6 address, which usually belongs to one host.
fn network_of(from: IpAddr) -> IpAddr {
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
    fn wrong_passwords_from_one_address_are_slowed_down() {
        let (limiter, mut now) = (PasswordLimiter::default(), Instant::now());
        let (here, there): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        for _ in 0..FREE {
            assert_eq!(limiter.take(here, now), Ok(()));
        }
        for seconds in [2, 4, 8, 16, 30, 30] {
            assert_eq!(limiter.take(here, now), Err(Duration::from_secs(seconds)));
            now += Duration::from_secs(seconds);
            assert_eq!(limiter.take(here, now), Ok(()), "after the pause");
        }
        assert_eq!(limiter.take(there, now), Ok(()), "other addresses");
        assert_eq!(limiter.take(here, now + FORGET), Ok(()));
        assert_eq!(limiter.take(here, now + FORGET), Ok(()), "the count starts again");
    }

    #[test]
    fn right_passwords_do_not_count() {
        let (limiter, now) = (PasswordLimiter::default(), Instant::now());
        let here: IpAddr = "2001:db8::1".parse().expect("an address");
        for _ in 0..100 {
            assert_eq!(limiter.take(here, now), Ok(()));
            limiter.refund("2001:db8::2".parse().expect("an address of the same /64"));
        }
        assert!(limiter.lock().all.is_empty() && limiter.lock().order.is_empty());
    }

    #[test]
    fn the_oldest_address_is_forgotten_at_the_limit() {
        let (limiter, now) = (PasswordLimiter::default(), Instant::now());
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        for number in 0..MAX_ADDRESSES as u32 + 5 {
            assert_eq!(limiter.take(address(number), now), Ok(()));
        }
        let table = limiter.lock();
        assert_eq!((table.all.len(), table.order.len()), (MAX_ADDRESSES, MAX_ADDRESSES));
        assert!(!table.all.contains_key(&address(4)) && table.all.contains_key(&address(5)));
    }
}

//! Wrong passwords: slow, and only so many a minute from one place.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What a wrong password costs.
pub(super) const DELAY: Duration = Duration::from_millis(300);

const WINDOW: Duration = Duration::from_secs(60);
const MOST_A_WINDOW: u32 = 10;
/// Beyond so many places at a time everybody has to wait: memory has an end.
const MOST_PLACES: usize = 10_000;

/// How many wrong passwords came from where in this minute.
#[derive(Debug)]
pub(super) struct Tries(Mutex<Window>);

#[derive(Debug)]
struct Window {
    since: Instant,
    wrong: HashMap<IpAddr, u32>,
}

impl Tries {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Window { since: Instant::now(), wrong: HashMap::new() }))
    }

    /// Counts one try before it is judged, so that many at once are counted too; how long to wait if there were too many.
    pub(super) fn take(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(window.since) >= WINDOW {
            *window = Window { since: now, wrong: HashMap::new() };
        }
        let left = WINDOW.saturating_sub(now.duration_since(window.since));
        let place = place(from);
        if window.wrong.len() >= MOST_PLACES && !window.wrong.contains_key(&place) {
            return Err(left);
        }
        let tries = window.wrong.entry(place).or_default();
        if *tries >= MOST_A_WINDOW {
            return Err(left);
        }
        *tries += 1;
        Ok(())
    }

    /// Takes a try back: it was right.
    pub(super) fn give_back(&self, from: IpAddr) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tries) = window.wrong.get_mut(&place(from)) {
            *tries = tries.saturating_sub(1);
        }
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
    fn so_many_a_minute_from_one_place() {
        let (tries, now) = (Tries::new(), Instant::now());
        let (here, there): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        for _ in 0..MOST_A_WINDOW {
            assert_eq!(tries.take(here, now), Ok(()));
        }
        assert!(tries.take(here, now).is_err_and(|wait| wait <= WINDOW));
        assert_eq!(tries.take(there, now), Ok(()), "others may");
        assert_eq!(tries.take(here, now + WINDOW * 2), Ok(()), "a minute later");
    }

    #[test]
    fn right_ones_do_not_count() {
        let (tries, now) = (Tries::new(), Instant::now());
        let here: IpAddr = "2001:db8::1".parse().expect("an address");
        for _ in 0..100 {
            assert_eq!(tries.take(here, now), Ok(()));
            tries.give_back("2001:db8::2".parse().expect("of the same /64"));
        }
    }
}

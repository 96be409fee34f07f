//! Addresses that came before.

use std::hash::{BuildHasher, RandomState};

use postroom_core::Mail;

/// A power of two: the drawers stay so short that a number is put in its place by moving the rest.
const DRAWERS: usize = 4096;

/// Addresses that came before, as sorted numbers: hardly more than eight bytes each, and never half as much again for a moment,
/// as a table that grows would take. Two of a million are taken for one with a chance of 1 in 30 million.
pub(super) struct Seen {
    drawers: Vec<Vec<u64>>,
    hasher: RandomState,
}

impl Default for Seen {
    fn default() -> Self {
        Self { drawers: vec![Vec::new(); DRAWERS], hasher: RandomState::new() }
    }
}

impl Seen {
    pub(super) fn holds(&self, mail: &Mail) -> bool {
        let number = self.number(mail);
        self.drawers[drawer(number)].binary_search(&number).is_ok()
    }

    pub(super) fn add(&mut self, mail: &Mail) {
        let number = self.number(mail);
        let drawer = &mut self.drawers[drawer(number)];
        if let Err(place) = drawer.binary_search(&number) {
            if drawer.len() == drawer.capacity() {
                drawer.reserve_exact(drawer.len() / 8 + 4);
            }
            drawer.insert(place, number);
        }
    }

    /// Of the addresses in their normal form: those of one mail together.
    fn number(&self, mail: &Mail) -> u64 {
        let mut addresses = mail.recipients();
        addresses.sort();
        self.hasher.hash_one(addresses)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "only the lowest bits count")]
fn drawer(number: u64) -> usize {
    number as usize % DRAWERS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(to: &[&str]) -> Mail {
        Mail { to: to.iter().map(|to| to.parse().expect("an address")).collect(), ..Mail::default() }
    }

    #[test]
    fn each_is_known_once_it_was_added() {
        let mut seen = Seen::default();
        for number in 0..20_000 {
            let mail = mail(&[&format!("a{number}@example.org")]);
            assert!(!seen.holds(&mail), "{number}");
            seen.add(&mail);
            seen.add(&mail);
            assert!(seen.holds(&mail), "{number}");
        }
        let numbers: usize = seen.drawers.iter().map(Vec::len).sum();
        let room: usize = seen.drawers.iter().map(Vec::capacity).sum();
        assert!(numbers == 20_000 && room < 2 * numbers + 4 * DRAWERS, "{numbers} in {room}");
    }

    #[test]
    fn addresses_have_one_form_and_no_order() {
        let mut seen = Seen::default();
        seen.add(&mail(&["Ann <ann@EXAMPLE.org>", "z\u{307}@żółw.pl"]));
        assert!(seen.holds(&mail(&["ż@xn--w-uga1v8h.pl", "ann@example.org"])));
        // The local part is its owner's.
        assert!(!seen.holds(&mail(&["ż@żółw.pl", "Ann@example.org"])));
        assert!(!seen.holds(&mail(&["ann@example.org"])));
    }
}

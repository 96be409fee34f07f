//! The set of addresses in earlier rows.

use std::hash::{BuildHasher, RandomState};

use postroom_core::{EmailAddress, Mail};

/// Number of buckets, a power of two. Buckets stay short, so inserting into a sorted one is cheap.
const BUCKETS: usize = 4096;

/// The set of addresses in earlier rows, as sorted 64-bit hashes in buckets.
///
/// An entry takes little more than 8 bytes, without the peak of a hash table that grows. Two
/// addresses among a million collide with a probability of 1 in 30 million.
pub(super) struct SeenAddresses {
    buckets: Vec<Vec<u64>>,
    hasher: RandomState,
}

impl Default for SeenAddresses {
    fn default() -> Self {
        Self { buckets: vec![Vec::new(); BUCKETS], hasher: RandomState::new() }
    }
}

impl SeenAddresses {
    pub(super) fn contains(&self, mail: &Mail) -> bool {
        let hash = self.hash(mail);
        self.buckets[bucket(hash)].binary_search(&hash).is_ok()
    }

    pub(super) fn insert(&mut self, mail: &Mail) {
        let hash = self.hash(mail);
        let bucket = &mut self.buckets[bucket(hash)];
        if let Err(place) = bucket.binary_search(&hash) {
            if bucket.len() == bucket.capacity() {
                bucket.reserve_exact(bucket.len() / 8 + 4);
            }
            bucket.insert(place, hash);
        }
    }

    /// Hash of all recipients of one mail, in their normal form, in lower case and sorted.
    fn hash(&self, mail: &Mail) -> u64 {
        let mut addresses: Vec<_> = mail.recipients().into_iter().map(EmailAddress::without_case).collect();
        addresses.sort();
        addresses.dedup();
        self.hasher.hash_one(addresses)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "only the lowest bits are used")]
fn bucket(hash: u64) -> usize {
    hash as usize % BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(to: &[&str]) -> Mail {
        Mail { to: to.iter().map(|to| to.parse().expect("an address")).collect(), ..Mail::default() }
    }

    #[test]
    fn the_set_contains_exactly_the_inserted_addresses() {
        let mut seen = SeenAddresses::default();
        for number in 0..20_000 {
            let mail = mail(&[&format!("a{number}@example.org")]);
            assert!(!seen.contains(&mail), "{number}");
            seen.insert(&mail);
            seen.insert(&mail);
            assert!(seen.contains(&mail), "{number}");
        }
        let count: usize = seen.buckets.iter().map(Vec::len).sum();
        let room: usize = seen.buckets.iter().map(Vec::capacity).sum();
        assert!(count == 20_000 && room < 2 * count + 4 * BUCKETS, "{count} in {room}");
    }

    #[test]
    fn addresses_are_normalised_and_sorted() {
        let mut seen = SeenAddresses::default();
        seen.insert(&mail(&["Ann <ann@EXAMPLE.org>", "z\u{307}@żółw.pl"]));
        assert!(seen.contains(&mail(&["ż@xn--w-uga1v8h.pl", "ann@example.org"])));
        assert!(seen.contains(&mail(&["Ż@żółw.pl", "Ann@example.org"])));
        assert!(seen.contains(&mail(&["ż@żółw.pl", "Ann@example.org", "ANN@example.org"])));
        assert!(!seen.contains(&mail(&["ann@example.org"])));
    }
}

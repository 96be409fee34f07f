//! Seeds, tokens and mutations of inputs.

use fastrand::Rng;

/// Maximum length of an input in bytes. Repeated doubling would otherwise not end.
const MAX_LENGTH: usize = 256 << 10;
/// Bytes with a syntactic meaning in most formats.
const SPECIAL: &[u8] = b"\r\n\0\t \"'\\<>@,;:=()[]{}%&.-+\x1b\x7f\xc2\xff\xef\xbb\xbf\xe2\x80\xa8";

/// Seeds and tokens of a target.
#[derive(Debug, Default)]
pub(super) struct Corpus {
    pub(super) seeds: Vec<Vec<u8>>,
    pub(super) tokens: Vec<Vec<u8>>,
}

impl Corpus {
    /// Returns a seed or random bytes, with zero or more mutations.
    pub(super) fn make(&self, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = if self.seeds.is_empty() || rng.u8(..16) == 0 { random(rng) } else { self.seed(rng).to_vec() };
        for _ in 0..[0, 1, 1, 2, 3, 5, 8, 16][rng.usize(..8)] {
            self.mutate(&mut bytes, rng);
            bytes.truncate(MAX_LENGTH);
        }
        bytes
    }

    fn mutate(&self, bytes: &mut Vec<u8>, rng: &mut Rng) {
        let at = rng.usize(..=bytes.len());
        let longest = 1 << rng.u32(..12);
        let to = at + rng.usize(..=(bytes.len() - at).min(longest));
        match rng.u8(..12) {
            0 => flip(bytes, rng),
            1 => insert(bytes, at, &[SPECIAL[rng.usize(..SPECIAL.len())]]),
            2 => insert(bytes, at, &[rng.u8(..)]),
            3 => drop(bytes.drain(at..to)),
            4 => bytes.truncate(at),
            5 => repeat(bytes, at, to, 1),
            6 => repeat(bytes, at, to, 1 << rng.u32(..8)),
            7 => self.splice(bytes, at, rng),
            8 => insert(bytes, at, &[rng.u8(..)].repeat(1 << rng.u32(..13))),
            9 => number(bytes, at, to, rng),
            _ => self.token(bytes, at, to, rng),
        }
    }

    fn seed(&self, rng: &mut Rng) -> &[u8] {
        &self.seeds[rng.usize(..self.seeds.len())]
    }

    /// Joins the head of `bytes` and the tail of another seed.
    fn splice(&self, bytes: &mut Vec<u8>, at: usize, rng: &mut Rng) {
        if !self.seeds.is_empty() {
            let other = self.seed(rng);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[rng.usize(..=other.len())..]);
        }
    }

    /// Replaces a piece with a token, or inserts the token before the piece.
    fn token(&self, bytes: &mut Vec<u8>, at: usize, to: usize, rng: &mut Rng) {
        if !self.tokens.is_empty() {
            let token = &self.tokens[rng.usize(..self.tokens.len())];
            let to = if rng.bool() { at } else { to };
            bytes.splice(at..to, token.iter().copied());
        }
    }
}

fn random(rng: &mut Rng) -> Vec<u8> {
    let length = rng.usize(..64);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

/// Inserts a piece `times` more times.
fn repeat(bytes: &mut Vec<u8>, at: usize, to: usize, times: usize) {
    let piece = bytes[at..to].repeat(times);
    insert(bytes, at, &piece);
}

fn flip(bytes: &mut [u8], rng: &mut Rng) {
    if !bytes.is_empty() {
        let at = rng.usize(..bytes.len());
        bytes[at] ^= 1 << rng.u32(..8);
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, more: &[u8]) {
    bytes.splice(at..at, more.iter().copied());
}

/// Replaces up to four bytes with a number at the limit of its type.
fn number(bytes: &mut Vec<u8>, at: usize, to: usize, rng: &mut Rng) {
    let edges =
        ["0", "-1", "255", "256", "65536", "4294967295", "9223372036854775807", "18446744073709551616", "1e999"];
    bytes.splice(at..to.min(at + 4), edges[rng.usize(..edges.len())].bytes());
}

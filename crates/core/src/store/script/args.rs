//! Arguments of a script.

use std::{fmt::Display, io::Write};

/// Arguments of a script after the protocol version. They share one buffer because a bulk has many.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Args {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Args {
    pub(in crate::store) fn of<const N: usize>(args: [&str; N]) -> Self {
        let mut all = Self::default();
        for arg in args {
            all.push(arg);
        }
        all
    }

    /// Reserves space for `number` more arguments of `bytes` bytes in total.
    pub(in crate::store) fn reserve(&mut self, number: usize, bytes: usize) {
        self.ends.reserve_exact(number);
        self.text.reserve_exact(bytes);
    }

    /// Approximate size in memory.
    pub(in crate::store) fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    pub(in crate::store) fn push_bytes(&mut self, arg: &[u8]) -> &mut Self {
        self.text.extend_from_slice(arg);
        self.ends.push(self.text.len());
        self
    }

    pub(in crate::store) fn push(&mut self, arg: impl Display) -> &mut Self {
        // Writing to memory can't fail.
        let _ = write!(self.text, "{arg}");
        self.ends.push(self.text.len());
        self
    }

    /// Appends other arguments.
    pub(in crate::store) fn append(&mut self, others: &Self) {
        let from = self.text.len();
        self.text.extend_from_slice(&others.text);
        self.ends.extend(others.ends.iter().map(|end| from + end));
    }

    /// Releases unused capacity.
    pub(in crate::store) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// Number of arguments.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Total length of the arguments in bytes.
    pub(super) fn text_len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }
}

//! Lines that all end the same way, so that they can be counted.

use std::io::{self, Read};

/// Text with `\n` at the end of each line, the last one too, whatever ended them in the input.
pub(super) struct UnixLines<R> {
    input: R,
    after_cr: bool,
    ended: bool,
    quotes: u64,
    bytes: u64,
}

impl<R> UnixLines<R> {
    pub(super) fn of(input: R) -> Self {
        Self { input, after_cr: false, ended: false, quotes: 0, bytes: 0 }
    }

    /// How many double quotes there were so far; in a sound CSV, all told, an even number.
    pub(super) fn quotes(&self) -> u64 {
        self.quotes
    }

    /// How many bytes the whole input had, once it has ended.
    pub(super) fn whole(&self) -> Option<u64> {
        self.ended.then_some(self.bytes)
    }

    /// Changes the bytes in place and says how many are left.
    fn unify(&mut self, bytes: &mut [u8]) -> usize {
        let mut kept = 0;
        for at in 0..bytes.len() {
            let byte = bytes[at];
            let is_second_half = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            self.quotes += u64::from(byte == b'"');
            if !is_second_half {
                bytes[kept] = if byte == b'\r' { b'\n' } else { byte };
                kept += 1;
            }
        }
        kept
    }
}

impl<R: Read> Read for UnixLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.input.read(buffer)?;
            if read > 0 {
                match self.unify(&mut buffer[..read]) {
                    0 => continue,
                    kept => {
                        self.bytes += kept as u64;
                        return Ok(kept);
                    }
                }
            }
            let Some(first) = buffer.first_mut().filter(|_| !self.ended) else { return Ok(0) };
            self.ended = true;
            self.bytes += 1;
            *first = b'\n';
            return Ok(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_of_line_ends() {
        for (input, lines) in [("a\r\nb\rc\nd", "a\nb\nc\nd\n"), ("", "\n"), ("\r\n\r\n", "\n\n\n")] {
            for block in 1..5 {
                let mut read = String::new();
                let mut text = UnixLines::of(Blocks { left: input.as_bytes(), block });
                text.read_to_string(&mut read).expect("text");
                assert_eq!(read, lines, "{input:?} by {block}");
            }
        }
    }

    /// Comes in small pieces.
    struct Blocks<'a> {
        left: &'a [u8],
        block: usize,
    }

    impl Read for Blocks<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.block.min(buffer.len());
            self.left.by_ref().take(size as u64).read(buffer)
        }
    }
}

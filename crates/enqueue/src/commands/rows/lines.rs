//! Lines that all end the same way, so that they can be counted.

use std::io::{self, Read};

/// Text without a byte order mark and with `\n` at the end of each line, the last one too, whatever ended them in the input.
pub(super) struct UnixLines<R> {
    input: R,
    /// What was read to look for the mark; none before the first read.
    head: Option<Vec<u8>>,
    after_cr: bool,
    ended: bool,
    quoting: Quoting,
    quotes: u64,
    bytes: u64,
}

/// What a double quote means as the next byte of a CSV.
#[derive(Debug, Clone, Copy)]
enum Quoting {
    FieldStart,
    Bare,
    Quoted,
    AfterQuote,
}

const MARK: &[u8; 3] = b"\xef\xbb\xbf";

impl Quoting {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::FieldStart | Self::AfterQuote, b'"') => Self::Quoted,
            (Self::Quoted, b'"') => Self::AfterQuote,
            (Self::Quoted, _) => Self::Quoted,
            (_, b',' | b'\r' | b'\n') => Self::FieldStart,
            (_, _) => Self::Bare,
        }
    }
}

impl<R> UnixLines<R> {
    pub(super) fn of(input: R) -> Self {
        Self { input, head: None, after_cr: false, ended: false, quoting: Quoting::FieldStart, quotes: 0, bytes: 0 }
    }

    /// How many double quotes opened or closed a field so far; in a sound CSV, all told, an even number. One within a field
    /// that is not quoted is a letter like any other.
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
            self.quotes += u64::from(byte == b'"' && !matches!(self.quoting, Quoting::Bare));
            self.quoting = self.quoting.after(byte);
            if !is_second_half {
                bytes[kept] = if byte == b'\r' { b'\n' } else { byte };
                kept += 1;
            }
        }
        kept
    }
}

impl<R: Read> UnixLines<R> {
    /// The bytes behind the mark. The first one comes alone: a parser that takes a mark off the first block finds none.
    fn read_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.head.is_none() {
            self.head = Some(self.read_head()?);
        }
        let Some(head) = self.head.as_mut().filter(|head| !head.is_empty()) else { return self.input.read(buffer) };
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        *first = head.remove(0);
        Ok(1)
    }

    fn read_head(&mut self) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.input.by_ref().take(MARK.len() as u64).read_to_end(&mut head)?;
        if head == MARK {
            head.clear();
            self.input.by_ref().take(1).read_to_end(&mut head)?;
        }
        Ok(head)
    }
}

impl<R: Read> Read for UnixLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.read_on(buffer)?;
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
        for (input, lines) in [
            ("a\r\nb\rc\nd", "a\nb\nc\nd\n"),
            ("", "\n"),
            ("\r\n\r\n", "\n\n\n"),
            ("\u{feff}a\n\u{feff}", "a\n\u{feff}\n"),
        ] {
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

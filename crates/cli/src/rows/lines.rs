//! Normalises line endings, so that lines can be counted.

use std::io::{self, Read};

/// Reader that removes the byte order mark and ends every line, the last one too, with `\n`.
pub(super) struct UnixLines<R> {
    input: R,
    /// Bytes read to look for the byte order mark; `None` before the first read.
    head: Option<Vec<u8>>,
    after_cr: bool,
    ended: bool,
    quoting: Quoting,
    quotes: u64,
    bytes: u64,
}

/// Position within a CSV field, which decides the meaning of a double quote.
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
    pub(super) fn new(input: R) -> Self {
        Self { input, head: None, after_cr: false, ended: false, quoting: Quoting::FieldStart, quotes: 0, bytes: 0 }
    }

    /// Number of double quotes so far that opened or closed a field. It is even at the end of a
    /// valid CSV. Quotes inside an unquoted field are ordinary characters and do not count.
    pub(super) fn quotes(&self) -> u64 {
        self.quotes
    }

    /// Total number of bytes of the normalised text, once the input has ended.
    pub(super) fn total_bytes(&self) -> Option<u64> {
        self.ended.then_some(self.bytes)
    }

    /// Normalises the bytes in place and returns how many are left.
    fn normalise(&mut self, bytes: &mut [u8]) -> usize {
        let mut kept = 0;
        for at in 0..bytes.len() {
            let byte = bytes[at];
            let is_lf_of_crlf = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            self.quotes += u64::from(byte == b'"' && !matches!(self.quoting, Quoting::Bare));
            self.quoting = self.quoting.after(byte);
            if !is_lf_of_crlf {
                bytes[kept] = if byte == b'\r' { b'\n' } else { byte };
                kept += 1;
            }
        }
        kept
    }
}

impl<R: Read> UnixLines<R> {
    /// Reads the bytes after the byte order mark. The head is returned byte by byte: the parser
    /// strips a mark only if it is complete in the first block.
    fn read_after_mark(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
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
            let read = self.read_after_mark(buffer)?;
            if read > 0 {
                match self.normalise(&mut buffer[..read]) {
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
    fn every_line_ending_becomes_a_line_feed() {
        for (input, lines) in [
            ("a\r\nb\rc\nd", "a\nb\nc\nd\n"),
            ("", "\n"),
            ("\r\n\r\n", "\n\n\n"),
            ("\u{feff}a\n\u{feff}", "a\n\u{feff}\n"),
        ] {
            for block in 1..5 {
                let mut read = String::new();
                let mut text = UnixLines::new(BlockReader { left: input.as_bytes(), block });
                text.read_to_string(&mut read).expect("text");
                assert_eq!(read, lines, "{input:?} in blocks of {block}");
            }
        }
    }

    /// Reader that returns at most `block` bytes at a time.
    struct BlockReader<'a> {
        left: &'a [u8],
        block: usize,
    }

    impl Read for BlockReader<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.block.min(buffer.len());
            self.left.by_ref().take(size as u64).read(buffer)
        }
    }
}

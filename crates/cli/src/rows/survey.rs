//! One look over a whole input before its first row is used.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::{
    csv::{QuoteCheck, QuoteProblem},
    encoding::Utf8Reader,
    line_count::LineCount,
};

/// Why an input can't be used.
#[derive(Debug)]
pub(super) enum SurveyFault {
    Read(io::Error),
    /// Neither UTF-8 nor UTF-16 with a byte order mark.
    Encoding(NotUtf8),
    Quotes(QuoteProblem),
}

/// The first fault of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotUtf8 {
    pub(super) line: u64,
    /// Number of characters beyond ASCII before, which are UTF-8.
    pub(super) characters_before: usize,
    /// Whether it is a NUL character.
    pub(super) is_nul: bool,
}

/// Reads the whole input in constant memory and returns the hash of its bytes. A CSV has no NUL
/// characters; `quotes` checks the quotes of one.
pub(super) fn survey(input: impl Read, is_csv: bool, mut quotes: Option<QuoteCheck>) -> Result<String, SurveyFault> {
    let mut input = Utf8Reader::new(HashedReader { input, hash: Sha256::new() });
    let mut text = Utf8Check::default();
    let mut block = vec![0; 1 << 16];
    loop {
        let read = input.read(&mut block).map_err(|error| text.unreadable(error))?;
        if read == 0 {
            break;
        }
        let block = &block[..read];
        if is_csv {
            text.check_nul(block).map_err(SurveyFault::Encoding)?;
        }
        if let Some(quotes) = &mut quotes {
            quotes.add(block);
        }
        text.add(block).map_err(SurveyFault::Encoding)?;
    }
    text.end().map_err(SurveyFault::Encoding)?;
    quotes.map_or(Ok(()), QuoteCheck::end).map_err(SurveyFault::Quotes)?;
    Ok(format!("{:x}", input.into_inner().hash.finalize()))
}

/// Reader that hashes what is read through it.
struct HashedReader<R> {
    input: R,
    hash: Sha256,
}

impl<R: Read> Read for HashedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

/// Checks UTF-8 text in blocks; a character may span two of them.
#[derive(Default)]
struct Utf8Check {
    lines: LineCount,
    characters: usize,
    rest: Vec<u8>,
}

impl Utf8Check {
    fn add(&mut self, block: &[u8]) -> Result<(), NotUtf8> {
        self.rest.extend_from_slice(block);
        let (valid, is_broken) = match std::str::from_utf8(&self.rest) {
            Ok(text) => (text.len(), false),
            Err(error) => (error.valid_up_to(), error.error_len().is_some()),
        };
        self.lines.add(&self.rest[..valid]);
        if !self.rest[..valid].is_ascii() {
            self.characters += self.rest[..valid].iter().filter(|byte| **byte >= 0xc0).count();
        }
        self.rest.drain(..valid);
        if is_broken { Err(self.position()) } else { Ok(()) }
    }

    fn end(&self) -> Result<(), NotUtf8> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.position()) }
    }

    fn position(&self) -> NotUtf8 {
        NotUtf8 { line: self.lines.line(), characters_before: self.characters, is_nul: false }
    }

    /// Looks for a NUL character in the next block.
    fn check_nul(&self, block: &[u8]) -> Result<(), NotUtf8> {
        let Some(at) = memchr::memchr(0, block) else { return Ok(()) };
        let mut lines = self.lines;
        lines.add(&block[..at]);
        Err(NotUtf8 { line: lines.line(), is_nul: true, ..self.position() })
    }

    /// Returns the fault of a read error: of the input, or of its UTF-16.
    fn unreadable(&self, error: io::Error) -> SurveyFault {
        match error.kind() {
            io::ErrorKind::InvalidData => SurveyFault::Encoding(self.position()),
            _ => SurveyFault::Read(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::fuzz::SlowReader;

    /// Returns the line of the first fault, 0 if there is none.
    #[track_caller]
    fn check(bytes: &[u8], line: u64) {
        for block in [1, 2, 3, 5, usize::MAX] {
            let found = match survey(SlowReader::new(bytes, block), true, Some(QuoteCheck::new(b','))) {
                Ok(hash) => {
                    assert_eq!(hash, format!("{:x}", Sha256::digest(bytes)));
                    0
                }
                Err(SurveyFault::Encoding(NotUtf8 { line, .. })) => line,
                Err(fault @ (SurveyFault::Read(_) | SurveyFault::Quotes(_))) => panic!("{fault:?}"),
            };
            assert_eq!(found, line, "{bytes:?} in blocks of {block}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_found() {
        check(b"", 0);
        check("a\nżółć\n🎉".as_bytes(), 0);
        check(b"\xff\xfea\0\n\0", 0);
        check(b"a\n\xc5", 2);
        check(b"a\n\xc5b", 2);
        check(b"a\nb\nc\xff", 3);
        check(b"a\rb\rc\xff", 3);
        check(b"a\r\nb\r\nc\xff", 3);
        check(b"a\n\0b", 2);
        check(b"a\r\n\r\n\0b\xff", 3);
        check(b"\xff\xfea\0\n\0\0\0", 2);
        check(b"\xff\xfea\0\n\0b", 2);
        check(b"\xfe\xff\0a\0\n\xd8\x00\0b", 2);
    }

    #[test]
    fn text_before_the_fault_is_noted() {
        for (bytes, count) in [(&b"a\xff"[..], 0), (b"\xc5\xbb\n\xff", 1), (b"\xff\xc5\xbb", 0)] {
            let fault = survey(bytes, false, None).expect_err("not UTF-8");
            let SurveyFault::Encoding(found) = fault else { panic!("{fault:?}") };
            assert_eq!(found.characters_before, count, "{bytes:?}");
        }
    }
}

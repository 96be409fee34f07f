//! Normalises line endings and the blanks before fields, for a parser that knows neither.

use std::io::{self, Read};

use super::quotes::{Position, is_blank};

/// Reader that ends every line, the last one too, with `\n`, and drops blanks before a field.
pub(super) struct UnixLines<R> {
    input: R,
    delimiter: u8,
    position: Position,
    after_cr: bool,
    ended: bool,
}

impl<R> UnixLines<R> {
    pub(super) fn new(input: R, delimiter: u8) -> Self {
        Self { input, delimiter, position: Position::FieldStart, after_cr: false, ended: false }
    }

    /// Normalises the bytes in place and returns how many are left.
    fn normalise(&mut self, bytes: &mut [u8]) -> usize {
        let mut kept = 0;
        for at in 0..bytes.len() {
            let byte = bytes[at];
            let is_dropped = match byte {
                b'\n' => self.after_cr,
                b' ' | b'\t' => self.position == Position::FieldStart && is_blank(byte, self.delimiter),
                _ => false,
            };
            self.after_cr = byte == b'\r';
            self.position = self.position.after(byte, self.delimiter);
            if !is_dropped {
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
                match self.normalise(&mut buffer[..read]) {
                    0 => continue,
                    kept => return Ok(kept),
                }
            }
            let Some(first) = buffer.first_mut().filter(|_| !self.ended) else { return Ok(0) };
            self.ended = true;
            *first = b'\n';
            return Ok(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::fuzz::SlowReader;

    #[test]
    fn line_endings_and_blanks_are_normalised() {
        for (input, lines) in [
            ("a\r\nb\rc\nd", "a\nb\nc\nd\n"),
            ("", "\n"),
            ("\r\n\r\n", "\n\n\n"),
            ("  a b ,\t \"c, d \"  ,\" e\"\n \t\n", "a b ,\"c, d \"  ,\" e\"\n\n\n"),
            ("\"a\r\n  b\",  c", "\"a\n  b\",c\n"),
        ] {
            for block in 1..5 {
                let mut read = String::new();
                let mut text = UnixLines::new(SlowReader::new(input.as_bytes(), block), b',');
                text.read_to_string(&mut read).expect("text");
                assert_eq!(read, lines, "{input:?} in blocks of {block}");
            }
        }
        let mut read = String::new();
        UnixLines::new("a\t b\t\t\"c\"".as_bytes(), b'\t').read_to_string(&mut read).expect("text");
        assert_eq!(read, "a\tb\t\t\"c\"\n");
    }
}

//! Text of a file as UTF-8: UTF-16 is decoded, and byte order marks are removed.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, UTF_16BE, UTF_16LE};

const BLOCK: usize = 1 << 15;
/// Byte order mark in UTF-8.
const MARK: &[u8; 3] = b"\xef\xbb\xbf";

/// Reader of UTF-8 or UTF-16 text that returns UTF-8. UTF-16 needs its byte order mark; UTF-8 is
/// passed on unchecked.
pub(super) struct Utf8Reader<R> {
    input: R,
    text: Text,
}

enum Text {
    /// Before the first read.
    Unread,
    /// Bytes that were read to look for marks, and then the input itself.
    Utf8(Vec<u8>),
    Utf16(Box<Utf16Text>),
}

/// Decoder with its buffers.
struct Utf16Text {
    decoder: Decoder,
    raw: Vec<u8>,
    decoded: Vec<u8>,
    /// Number of decoded bytes that were returned.
    taken: usize,
    /// Whether only byte order marks were decoded so far.
    is_at_start: bool,
    state: DecoderState,
}

#[derive(Clone, Copy)]
enum DecoderState {
    Reading,
    Ended,
    Malformed,
}

impl<R: Read> Utf8Reader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, text: Text::Unread }
    }

    /// Returns the input, after its last byte was read.
    pub(super) fn into_inner(self) -> R {
        self.input
    }

    fn detect(&mut self) -> io::Result<Text> {
        let mut head = self.read_head()?;
        let decoder = match head.get(..2) {
            Some(b"\xff\xfe") => UTF_16LE.new_decoder_without_bom_handling(),
            Some(b"\xfe\xff") => UTF_16BE.new_decoder_without_bom_handling(),
            _ => {
                while head == MARK {
                    head = self.read_head()?;
                }
                return Ok(Text::Utf8(head));
            }
        };
        Ok(Text::Utf16(Box::new(Utf16Text {
            decoder,
            raw: head.split_off(2),
            decoded: Vec::new(),
            taken: 0,
            is_at_start: true,
            state: DecoderState::Reading,
        })))
    }

    /// Reads as many bytes as a mark has.
    fn read_head(&mut self) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.input.by_ref().take(MARK.len() as u64).read_to_end(&mut head)?;
        Ok(head)
    }
}

impl<R: Read> Read for Utf8Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if matches!(self.text, Text::Unread) {
            self.text = self.detect()?;
        }
        match &mut self.text {
            Text::Utf8(head) if !head.is_empty() => {
                let read = head.as_slice().read(buffer)?;
                head.drain(..read);
                Ok(read)
            }
            Text::Utf8(_) | Text::Unread => self.input.read(buffer),
            Text::Utf16(text) => text.read(&mut self.input, buffer),
        }
    }
}

impl Utf16Text {
    fn read(&mut self, input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.decoded.len() {
            match self.state {
                DecoderState::Reading => self.decode(input)?,
                DecoderState::Ended => return Ok(0),
                DecoderState::Malformed => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "half of a UTF-16 character"));
                }
            }
        }
        let read = (&self.decoded[self.taken..]).read(buffer)?;
        self.taken += read;
        Ok(read)
    }

    /// Decodes the next block. What stands before a malformed character is still returned.
    fn decode(&mut self, input: &mut impl Read) -> io::Result<()> {
        let kept = self.raw.len();
        self.raw.resize(kept + BLOCK, 0);
        let read = input.read(&mut self.raw[kept..]).inspect_err(|_| self.raw.truncate(kept))?;
        self.raw.truncate(kept + read);
        // A UTF-16 unit becomes at most 3 bytes, and one unit may be left of the block before.
        self.decoded.resize(self.raw.len() * 3 / 2 + 16, 0);
        let (result, _, written) =
            self.decoder.decode_to_utf8_without_replacement(&self.raw, &mut self.decoded, read == 0);
        self.raw.clear();
        self.decoded.truncate(written);
        self.taken = 0;
        self.state = match result {
            DecoderResult::InputEmpty if read > 0 => DecoderState::Reading,
            DecoderResult::InputEmpty => DecoderState::Ended,
            DecoderResult::Malformed(..) | DecoderResult::OutputFull => DecoderState::Malformed,
        };
        while self.is_at_start && self.decoded[self.taken..].starts_with(MARK) {
            self.taken += MARK.len();
        }
        self.is_at_start &= self.taken == self.decoded.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::fuzz::SlowReader;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<&str, &str>) {
        for block in [1, 2, 3, 4, 5, 7, usize::MAX] {
            let mut text = String::new();
            let result = Utf8Reader::new(SlowReader::new(bytes, block)).read_to_string(&mut text);
            let found = result.map(|_| text.as_str()).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{bytes:?} in blocks of {block}");
        }
    }

    #[test]
    fn marks_are_removed_and_utf16_is_decoded() {
        let text = "email,imię\r\nann@example.org,Żółć 🎉\u{feff}\n";
        for marks in ["", "\u{feff}", "\u{feff}\u{feff}", "\u{feff}\u{feff}\u{feff}\u{feff}"] {
            check(format!("{marks}{text}").as_bytes(), Ok(text));
        }
        for marks in ["\u{feff}", "\u{feff}\u{feff}"] {
            let text16 = format!("{marks}{text}");
            check(&utf16(&text16, u16::to_le_bytes), Ok(text));
            check(&utf16(&text16, u16::to_be_bytes), Ok(text));
        }
        for (bytes, text) in [(&b""[..], ""), (b"\xff\xfe", ""), (b"\xef\xbb\xbf", ""), (b"a", "a"), (b"ab", "ab")] {
            check(bytes, Ok(text));
        }
    }

    #[test]
    fn half_a_character_is_an_error() {
        for bytes in [&b"\xff\xfea\0b"[..], b"\xff\xfea\0\x00\xd8b\0", b"\xfe\xff\0a\xdc\x00", b"\xff\xfe\x00\xd8"] {
            check(bytes, Err("half of a UTF-16 character"));
        }
    }

    #[test]
    fn a_long_text_is_decoded_in_blocks() {
        let text = "zażółć gęślą jaźń €🎉 ".repeat(10_000);
        let bytes = utf16(&format!("\u{feff}{text}"), u16::to_le_bytes);
        let mut decoded = String::new();
        Utf8Reader::new(&bytes[..]).read_to_string(&mut decoded).expect("text");
        assert!(decoded == text);
    }
}

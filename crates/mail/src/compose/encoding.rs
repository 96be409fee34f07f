//! Content-Transfer-Encoding of text bodies.

use base64::{Engine, engine::general_purpose::STANDARD};
use memchr::{memchr, memchr2};

/// Maximum line length of unencoded text and of quoted-printable (RFC 2045 §6.7).
const LINE: usize = 76;

/// Class of each byte, which decides the encoding.
static KIND: [u8; 256] = kinds();
const PLAIN: u8 = 0;
const SPECIAL: u8 = 1;
const CONTROL: u8 = 2;
const HIGH: u8 = 4;

const fn kinds() -> [u8; 256] {
    let mut kinds = [PLAIN; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'\r' | b'\n' | b'=' => SPECIAL,
            b'\t' | b' '..=b'~' => PLAIN,
            128.. => HIGH,
            _ => CONTROL,
        };
        byte += 1;
    }
    kinds
}

/// Text in an encoding.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EncodedText {
    /// Value of Content-Transfer-Encoding.
    pub(super) encoding: &'static str,
    /// Lines that end with CRLF, except for the last one.
    pub(super) bytes: Vec<u8>,
}

/// Encodes a text in the shortest encoding that every server accepts: 7bit, quoted-printable or
/// base64. Line ends become CRLF.
pub(super) fn encoded(text: &str, alone: bool) -> EncodedText {
    let mut text = with_crlf(text);
    if alone && text.ends_with("\r\n") {
        text.truncate(text.len() - 2);
    }
    let kinds = text.bytes().fold(0, |kinds, byte| kinds | KIND[usize::from(byte)]);
    if kinds & CONTROL > 0 {
        return in_base64(&text);
    }
    if kinds & HIGH == 0 && lines(&text).all(|line| line.len() < LINE) {
        return EncodedText { encoding: "7bit", bytes: text.into_bytes() };
    }
    let to_be_escaped = text.bytes().filter(|b| !b.is_ascii()).count();
    if to_be_escaped > text.len() / 3 {
        return in_base64(&text);
    }
    EncodedText { encoding: "quoted-printable", bytes: quoted_printable(&text) }
}

fn in_base64(text: &str) -> EncodedText {
    let mut bytes = Vec::new();
    append_base64(&mut bytes, text.as_bytes());
    EncodedText { encoding: "base64", bytes }
}

/// Appends base64 in lines of 76 characters (RFC 2045 §6.8).
pub(super) fn append_base64(out: &mut Vec<u8>, content: &[u8]) {
    const LINE_BYTES: usize = LINE / 4 * 3;
    let at = out.len();
    out.resize(at + content.len().div_ceil(LINE_BYTES) * (LINE + 2), 0);
    let mut end = at;
    for chunk in content.chunks(LINE_BYTES) {
        if end > at {
            out[end..end + 2].copy_from_slice(b"\r\n");
            end += 2;
        }
        // The buffer has room for every line.
        end += STANDARD.encode_slice(chunk, &mut out[end..]).unwrap_or_default();
    }
    out.truncate(end);
}

/// Converts a message to lines that end with CRLF, if it is one that can be sent as 7bit: a header
/// that ends with an empty line, and ASCII without NUL and single carriage returns, in lines of at
/// most 998 octets (RFC 2045 §2.7). Without the empty line, readers would take what follows the
/// message for its header.
pub(super) fn seven_bit_message(content: &[u8]) -> Option<Vec<u8>> {
    const LONGEST_LINE: usize = 998;
    let text = std::str::from_utf8(content).ok().filter(|text| text.is_ascii() && !text.contains('\0'))?;
    let is_sendable = |line: &str| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.len() <= LONGEST_LINE && memchr(b'\r', line.as_bytes()).is_none()
    };
    let lines = text.split('\n').all(is_sendable).then(|| with_crlf(text))?;
    let (name, _) = lines.split_once("\r\n\r\n")?.0.split_once(':')?;
    let is_header = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    is_header.then(|| lines.into_bytes())
}

/// Converts every kind of line end to CRLF.
fn with_crlf(text: &str) -> String {
    let mut lines = String::with_capacity(text.len() + text.len() / 16 + 2);
    let mut rest = text;
    while let Some(end) = memchr2(b'\r', b'\n', rest.as_bytes()) {
        lines.push_str(&rest[..end]);
        lines.push_str("\r\n");
        let width = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + width..];
    }
    lines.push_str(rest);
    lines
}

/// Lines of a text without their CRLF, including the rest after the last one.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let here = rest?;
        let end = memchr(b'\n', here.as_bytes());
        rest = end.map(|end| &here[end + 1..]);
        Some(end.map_or(here, |end| here[..end].trim_end_matches('\r')))
    })
}

/// Encodes quoted-printable (RFC 2045 §6.7): no line longer than 76 characters, no white space at
/// its end.
fn quoted_printable(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 8 + 16);
    for (number, line) in lines(text).enumerate() {
        if number > 0 {
            out.extend_from_slice(b"\r\n");
        }
        quote_line(&mut out, line.as_bytes());
    }
    out
}

fn quote_line(out: &mut Vec<u8>, mut line: &[u8]) {
    let mut room = LINE;
    while let Some(&first) = line.first() {
        let ahead = &line[..line.len().min(LINE + 1)];
        let plain = ahead.iter().position(|b| KIND[usize::from(*b)] != PLAIN).unwrap_or(ahead.len());
        // White space at the end of a line must be escaped.
        let plain = if plain == line.len() { line.trim_ascii_end().len() } else { plain };
        let width = if plain > 0 { plain } else { 3 };
        // The last column is reserved for the `=` of a soft line break.
        let ends = plain.max(1) == line.len();
        let fits = if ends && width <= room { width } else { width.min(room - 1) };
        if plain == 0 && fits == 3 {
            out.extend_from_slice(&[b'=', hex(first >> 4), hex(first & 15)]);
            line = &line[1..];
        } else if plain > 0 && fits > 0 {
            out.extend_from_slice(&line[..fits]);
            line = &line[fits..];
        } else {
            out.extend_from_slice(b"=\r\n");
            room = LINE;
            continue;
        }
        room -= fits;
    }
}

fn hex(digit: u8) -> u8 {
    b"0123456789ABCDEF"[usize::from(digit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_end_is_crlf() {
        for (text, expected) in [
            ("a\nb", "a\r\nb"),
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            ("a\rb\n\nc", "a\r\nb\r\n\r\nc"),
            ("", ""),
            ("\n", "\r\n"),
        ] {
            assert_eq!(with_crlf(text), expected);
        }
    }

    #[test]
    fn the_shortest_encoding_is_chosen() {
        let (seven, quoted, base64) = ("7bit", "quoted-printable", "base64");
        for (text, encoding) in [
            (String::new(), seven),
            ("Hello,\nworld\n".to_owned(), seven),
            ("a".repeat(75), seven),
            ("a".repeat(76), quoted),
            ("Zażółć gęślą jaźń, and many words in plain letters after it".to_owned(), quoted),
            ("李雷和韩梅梅".to_owned(), base64),
            ("a\u{1}b".to_owned(), base64),
        ] {
            assert_eq!(encoded(&text, false).encoding, encoding, "{text:?}");
        }
    }

    #[test]
    fn base64_lines_have_76_characters() {
        for (content, expected) in [
            (Vec::new(), String::new()),
            (b"x".to_vec(), "eA==".to_owned()),
            (vec![0; 57], "A".repeat(76)),
            (vec![0; 58], "A".repeat(76) + "\r\nAA=="),
            (vec![0; 114], "A".repeat(76) + "\r\n" + &"A".repeat(76)),
        ] {
            let mut out = b"before ".to_vec();
            append_base64(&mut out, &content);
            assert_eq!(String::from_utf8(out).expect("ASCII"), format!("before {expected}"));
        }
    }

    #[test]
    fn a_message_is_7bit_or_not_at_all() {
        let long = format!("Subject: x\n\n{}\nb", "a".repeat(998));
        for (content, expected) in [
            ("Subject: x\n\nHello\n", Some("Subject: x\r\n\r\nHello\r\n")),
            ("Subject: x\r\n\r\nHello", Some("Subject: x\r\n\r\nHello")),
            (&long, Some(&*long.replace('\n', "\r\n"))),
            (&long.replace("aa", "aaa"), None),
            ("", None),
            ("Subject: x\n", None),
            ("Hello\n\nworld: x", None),
            ("From ann Mon\nSubject: x\n\nHello", None),
            ("\nSubject: x\n\nHello", None),
            ("Subject: x\n\na\rb", None),
            ("Subject: x\n\na\0", None),
            ("Subject: ż\n\n", None),
        ] {
            let lines = seven_bit_message(content.as_bytes());
            assert_eq!(lines.as_deref(), expected.map(str::as_bytes), "{content:?}");
        }
        assert_eq!(seven_bit_message(b"\xff"), None);
    }

    #[test]
    fn quoted_printable_lines_are_escaped_and_wrapped() {
        let (long, full) = ("a".repeat(80), "a".repeat(76));
        let (wrapped, tight) = (format!("{}=\r\naaaaa", "a".repeat(75)), format!("{}é", "a".repeat(72)));
        for (text, expected) in [
            ("a=b", "a=3Db"),
            ("a \r\nb\t", "a=20\r\nb=09"),
            ("a  ", "a=20=20"),
            ("é", "=C3=A9"),
            ("\r\n\r\n", "\r\n\r\n"),
            (&full, &full),
            (&long, &wrapped),
            (&tight, &format!("{}=C3=\r\n=A9", "a".repeat(72))),
        ] {
            assert_eq!(String::from_utf8(quoted_printable(text)).expect("ASCII"), expected, "{text:?}");
        }
    }

    #[test]
    fn quoted_printable_round_trips() {
        let pieces = ["a", "=", " ", "\t", "é", "李", "\r\n", "long words of many letters ", ".", "  "];
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2_000 {
            let text: String = (0..random.usize(..60)).map(|_| pieces[random.usize(..pieces.len())]).collect();
            let quoted = String::from_utf8(quoted_printable(&text)).expect("ASCII");
            for line in lines(&quoted) {
                assert!(line.len() <= LINE && line.is_ascii() && !line.ends_with([' ', '\t']), "{line:?} of {text:?}");
            }
            assert_eq!(unquoted(&quoted), text);
        }
    }

    fn unquoted(quoted: &str) -> String {
        let joined = quoted.replace("=\r\n", "");
        let mut parts = joined.split('=');
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).expect("two digits"));
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        String::from_utf8(bytes).expect("text")
    }
}

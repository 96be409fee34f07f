//! Header fields that hold what applications say: encoded, folded, and in no way able to end their line.

use base64::{Engine, engine::general_purpose::STANDARD};
use lettre::message::header::{HeaderName, HeaderValue, Headers};
use postroom_core::InvalidInput;
use serde_json::{Map, Value};

/// Lines are folded here (RFC 2047 §2); nothing longer than the other may leave (RFC 5322 §2.1.1).
pub(super) const LINE: usize = 76;
const LONGEST_WORD: usize = 900;

/// Bytes in one encoded word, which has 75 columns at most (RFC 2047 §2).
const LONGEST_ENCODED: usize = 45;
/// `=?utf-8?b?` and `?=`.
const WORD_FRAME: usize = 12;

/// Sets an unstructured header.
pub(super) fn set_text(headers: &mut Headers, name: &str, value: &str) -> Result<(), InvalidInput> {
    headers.insert_raw(text_header(header_name(name)?, value)?);
    Ok(())
}

/// Sets the mail's own headers, over ours where they may be.
pub(super) fn set_own(headers: &mut Headers, own: &Map<String, Value>) -> Result<(), InvalidInput> {
    for (name, value) in own {
        let value = value.as_str().ok_or_else(|| invalid(format!("the value of {name} is not text")))?;
        set_text(headers, name, value)?;
    }
    Ok(())
}

/// A value that goes into a structured header as it is.
pub(super) fn one_word<'a>(field: &str, value: &'a str) -> Result<&'a str, InvalidInput> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>') {
        Ok(value)
    } else {
        Err(InvalidInput::new(field, format!("{value:?} may hold visible ASCII characters other than < and >")))
    }
}

fn header_name(name: &str) -> Result<HeaderName, InvalidInput> {
    let sound = name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    let parsed = sound.then(|| HeaderName::new_from_ascii(name.to_owned()).ok()).flatten();
    parsed.ok_or_else(|| invalid(format!("{name:?} is no header name; it may hold letters, digits and -")))
}

fn text_header(name: HeaderName, value: &str) -> Result<HeaderValue, InvalidInput> {
    if value.contains(['\r', '\n', '\0']) {
        return Err(invalid(format!("the value of {name} holds a line break")));
    }
    if is_plain(value) {
        return Ok(HeaderValue::new(name, value.to_owned()));
    }
    let encoded = encoded_words(value, name.len() + 2);
    Ok(HeaderValue::dangerous_new_pre_encoded(name, value.to_owned(), encoded))
}

/// Whether a value can be written as it is and comes out unchanged: visible ASCII in words that can be folded, and
/// nothing that a reader would take for an encoded word.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        && !value.contains("=?")
        && !value.contains("  ")
        && value.trim() == value
        && value.split(' ').all(|word| word.len() <= LONGEST_WORD)
}

/// RFC 2047 in base64 from this column on, split between characters, one word a line.
pub(super) fn encoded_words(value: &str, column: usize) -> String {
    let mut encoded = String::new();
    let mut room = room_for(LINE.saturating_sub(column));
    let mut rest = value;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(char_boundary(rest, room));
        if !encoded.is_empty() {
            encoded.push_str("\r\n ");
        }
        encoded.extend(["=?utf-8?b?", &STANDARD.encode(word), "?="]);
        (rest, room) = (after, room_for(LINE - 1));
    }
    encoded
}

/// The length of the last line; `None` where there is only one.
pub(super) fn last_line_len(folded: &str) -> Option<usize> {
    folded.rsplit_once("\r\n").map(|(_, last)| last.len())
}

/// The columns of a value as one encoded word, or of the longest word there may be.
pub(super) fn encoded_width(value: &str) -> usize {
    WORD_FRAME + value.len().min(LONGEST_ENCODED).div_ceil(3) * 4
}

/// How many bytes fit encoded into so many columns; a few always do.
fn room_for(columns: usize) -> usize {
    (columns.saturating_sub(WORD_FRAME) / 4 * 3).clamp(6, LONGEST_ENCODED)
}

fn char_boundary(text: &str, at_most: usize) -> usize {
    (0..=at_most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

fn invalid(problem: String) -> InvalidInput {
    InvalidInput::new("headers", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_within_their_limits() {
        for value in
            ["Żółć ".repeat(60), "🎉".repeat(90), "a".repeat(2000), "word ".repeat(300) + "end", "=?utf-8?q?x?=".into()]
        {
            for name in ["Subject", "X-A-Header-With-A-Name-That-Is-Almost-As-Long-As-A-Line-May-Be-In-A-Mail"] {
                let mut headers = Headers::new();
                set_text(&mut headers, name, &value).expect("a header");
                for line in headers.to_string().lines() {
                    let most = if name.len() > 60 { 120 } else { LINE + 2 };
                    assert!(line.len() <= most, "{} {line}", line.len());
                }
            }
        }
    }

    #[test]
    fn no_value_ends_its_line() {
        let mut headers = Headers::new();
        for (name, value) in
            [("X-A", "b\r\nBcc: c"), ("X-A", "b\nc"), ("X-A", "b\rc"), ("X A", "b"), ("X-A\r\nB", "c"), ("", "c")]
        {
            set_text(&mut headers, name, value).expect_err(value);
        }
        assert_eq!(headers.to_string(), "");
    }
}

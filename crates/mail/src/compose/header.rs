//! Header fields with values from applications: encoded and folded, so that a value can't end its
//! line.

use base64::{Engine, engine::general_purpose::STANDARD};
use lettre::message::header::{HeaderName, HeaderValue, Headers};
use postroom_core::InvalidInput;
use serde_json::{Map, Value};

/// Column at which lines are folded (RFC 2047 §2), and maximum length of a word that is not
/// encoded; lines end at 998 (RFC 5322 §2.1.1).
pub(super) const LINE: usize = 76;
const LONGEST_WORD: usize = 900;

/// Maximum number of bytes in one encoded word, which has at most 75 columns (RFC 2047 §2).
const LONGEST_ENCODED: usize = 45;
/// Columns of `=?utf-8?b?` and `?=`.
const WORD_FRAME: usize = 12;

/// Sets an unstructured header.
///
/// # Errors
///
/// Returns an error if the name is invalid or the value has a line break.
pub(super) fn set_text(headers: &mut Headers, name: &str, value: &str) -> Result<(), InvalidInput> {
    headers.insert_raw(text_header(header_name(name)?, value)?);
    Ok(())
}

/// Sets the headers of the mail, which override the default ones.
pub(super) fn set_own(headers: &mut Headers, own: &Map<String, Value>) -> Result<(), InvalidInput> {
    for (name, value) in own {
        let value = value.as_str().ok_or_else(|| invalid(format!("the value of {name} is not a string")))?;
        set_text(headers, name, value)?;
    }
    Ok(())
}

/// Returns a value of a structured header if it is a single word of visible ASCII.
pub(super) fn one_word<'a>(field: &str, value: &'a str) -> Result<&'a str, InvalidInput> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>') {
        Ok(value)
    } else {
        Err(InvalidInput::new(
            field,
            format!("{value:?} is invalid; it may have visible ASCII characters other than < and >"),
        ))
    }
}

fn header_name(name: &str) -> Result<HeaderName, InvalidInput> {
    let sound = name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    let parsed = sound.then(|| HeaderName::new_from_ascii(name.to_owned()).ok()).flatten();
    parsed.ok_or_else(|| invalid(format!("{name:?} is not a header name; it may have letters, digits and -")))
}

fn text_header(name: HeaderName, value: &str) -> Result<HeaderValue, InvalidInput> {
    if value.contains(['\r', '\n', '\0']) {
        return Err(invalid(format!("the value of {name} has a line break")));
    }
    if is_plain(value) {
        return Ok(HeaderValue::new(name, value.to_owned()));
    }
    let encoded = encoded_words(value, name.len() + 2);
    Ok(HeaderValue::dangerous_new_pre_encoded(name, value.to_owned(), encoded))
}

/// Whether a value can be written unencoded: visible ASCII in words short enough to fold, and
/// nothing that resembles an encoded word.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        && !value.contains("=?")
        && !value.contains("  ")
        && value.trim() == value
        && value.split(' ').all(|word| word.len() <= LONGEST_WORD)
}

/// Encodes a value as RFC 2047 base64 words, starting at this column. Words are split between
/// characters, one on each line.
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

/// Length of the last line; `None` if there is only one line.
pub(super) fn last_line_len(folded: &str) -> Option<usize> {
    folded.rsplit_once("\r\n").map(|(_, last)| last.len())
}

/// Columns of a value as one encoded word, capped at the longest possible word.
pub(super) fn encoded_width(value: &str) -> usize {
    WORD_FRAME + value.len().min(LONGEST_ENCODED).div_ceil(3) * 4
}

/// Number of bytes that fit, encoded, into these columns; at least 6.
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
    fn no_value_can_end_its_line() {
        let mut headers = Headers::new();
        for (name, value) in
            [("X-A", "b\r\nBcc: c"), ("X-A", "b\nc"), ("X-A", "b\rc"), ("X A", "b"), ("X-A\r\nB", "c"), ("", "c")]
        {
            set_text(&mut headers, name, value).expect_err(value);
        }
        assert_eq!(headers.to_string(), "");
    }
}

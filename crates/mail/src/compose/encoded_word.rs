//! Encoded words (RFC 2047).

use base64::{Engine, engine::general_purpose::STANDARD};

use super::header_writer::LINE;

/// Maximum number of bytes in one encoded word, which has at most 75 columns (RFC 2047 §2).
const LONGEST_ENCODED: usize = 45;
/// Columns of `=?utf-8?b?` and `?=`.
const WORD_FRAME: usize = 12;

/// Encodes a value as base64 words, starting at this column. Words are split between characters,
/// one on each line.
pub(super) fn encoded_words(value: &str, column: usize) -> String {
    let mut encoded = String::with_capacity(value.len() * 2 + WORD_FRAME);
    let mut room = room_for(LINE.saturating_sub(column));
    let mut rest = value;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(char_boundary(rest, room));
        if !encoded.is_empty() {
            encoded.push_str("\r\n ");
        }
        encoded.push_str("=?utf-8?b?");
        STANDARD.encode_string(word, &mut encoded);
        encoded.push_str("?=");
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

//! Characters that are not seen: blanks, and the characters of Unicode's category Cf.

/// Ranges of category Cf (Unicode 16), and other characters without a glyph: the combining grapheme
/// joiner, Hangul fillers, Khmer inherent vowels, the Braille blank and unassigned format
/// characters.
const RANGES: [(u32, u32); 25] = [
    (0xad, 0xad),
    (0x34f, 0x34f),
    (0x600, 0x605),
    (0x61c, 0x61c),
    (0x6dd, 0x6dd),
    (0x70f, 0x70f),
    (0x890, 0x891),
    (0x8e2, 0x8e2),
    (0x115f, 0x1160),
    (0x17b4, 0x17b5),
    (0x180e, 0x180e),
    (0x200b, 0x200f),
    (0x202a, 0x202e),
    (0x2060, 0x206f),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xfeff, 0xfeff),
    (0xffa0, 0xffa0),
    (0xfff0, 0xfffb),
    (0x110bd, 0x110bd),
    (0x110cd, 0x110cd),
    (0x13430, 0x1343f),
    (0x1bca0, 0x1bca3),
    (0x1d173, 0x1d17a),
    (0xe0000, 0xe00ff),
];

/// Whether the character is not seen: a blank, or one of [`RANGES`].
pub(super) fn is_invisible(c: char) -> bool {
    c.is_whitespace() || (!c.is_ascii() && is_in_ranges(u32::from(c)))
}

fn is_in_ranges(code: u32) -> bool {
    let at = RANGES.partition_point(|(_, end)| *end < code);
    RANGES.get(at).is_some_and(|(start, _)| *start <= code)
}

/// Returns the text without characters at its ends that are not seen.
pub(super) fn stripped(text: &str) -> &str {
    text.trim_matches(is_invisible)
}

/// Returns the first character that is not seen, with its code point, for an error message.
pub(super) fn first_in(text: &str) -> Option<String> {
    let found = text.chars().find(|c| is_invisible(*c))?;
    let kind = match found {
        _ if found.is_control() => "control character",
        _ if found.is_whitespace() => "blank",
        _ => "invisible character",
    };
    Some(format!("it contains the {kind} U+{:04X}", u32::from(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_are_in_order() {
        assert!(RANGES.iter().all(|(start, end)| start <= end));
        assert!(RANGES.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }

    #[test]
    fn letters_and_marks_are_seen() {
        for (c, expected) in [
            ('\u{200b}', true),
            ('\u{feff}', true),
            ('\u{a0}', true),
            ('\u{202e}', true),
            ('\u{ad}', true),
            ('\u{3000}', true),
            ('\u{3164}', true),
            ('\u{e0041}', true),
            (' ', true),
            ('a', false),
            ('ż', false),
            ('\u{301}', false),
            ('李', false),
            ('🎉', false),
            ('\u{fe0f}', false),
            ('\u{0}', false),
        ] {
            assert_eq!(is_invisible(c), expected, "{c:?}");
        }
    }
}

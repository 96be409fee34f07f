//! Text from outside, shown where control characters would act.

use std::{
    borrow::Cow,
    fmt::{self, Display},
};

/// A value in one line in which no character acts: control characters (C0, C1, DEL), line breaks and explicit bidirectional
/// formatting (UAX #9) are escaped as in a Rust string. For a terminal and a line of a log.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<T>(pub T);

/// The same for text of several lines: line breaks and tabs stay.
#[derive(Debug, Clone, Copy)]
pub struct EscapedLines<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0.to_string(), |_| false))
    }
}

impl<T: Display> Display for EscapedLines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string().replace("\r\n", "\n");
        f.write_str(&escape(&text, |c| matches!(c, '\n' | '\t')))
    }
}

/// Whether a terminal acts on a character, or shows others in another order because of it.
#[must_use]
pub fn acts(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let acts = |c: char| acts(c) && !stays(c);
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown_as_an_escape() {
        for (text, line, lines) in [
            ("Żółć 李雷 👩‍🚀 \"\\", "Żółć 李雷 👩‍🚀 \"\\", "Żółć 李雷 👩‍🚀 \"\\"),
            ("\u{1b}[31mred", "\\u{1b}[31mred", "\\u{1b}[31mred"),
            ("a\u{9b}2Jb\u{7f}\u{7}\0", "a\\u{9b}2Jb\\u{7f}\\u{7}\\u{0}", "a\\u{9b}2Jb\\u{7f}\\u{7}\\u{0}"),
            ("a\u{202e}b\u{2066}c", "a\\u{202e}b\\u{2066}c", "a\\u{202e}b\\u{2066}c"),
            ("a\nb\r\nc\td", "a\\nb\\r\\nc\\td", "a\nb\nc\td"),
            ("over\rwritten", "over\\rwritten", "over\\rwritten"),
        ] {
            assert_eq!(Escaped(text).to_string(), line);
            assert_eq!(EscapedLines(text).to_string(), lines);
        }
    }

    #[test]
    fn every_character_that_acts_is_escaped() {
        let acting = (0..=0x9f_u32).filter(|c| *c < 0x20 || *c > 0x7e).chain(0x202a..=0x202e).chain(0x2066..=0x2069);
        for c in acting.filter_map(char::from_u32) {
            let shown = Escaped(c).to_string();
            assert!(shown.starts_with('\\') && shown.is_ascii(), "{shown:?}");
        }
    }
}

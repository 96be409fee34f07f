//! Escaping of untrusted text for terminals and logs.

use std::{
    borrow::Cow,
    fmt::{self, Display},
};

/// Shows a value in one line, for a terminal or a log. Control characters (C0, C1, DEL), line
/// breaks and explicit bidirectional formatting (UAX #9) are escaped as in a Rust string.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<T>(pub T);

/// Shows a value like [`Escaped`], but keeps line breaks and tabs.
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

/// Whether a terminal interprets a character, or reorders others because of it.
#[must_use]
pub fn needs_escape(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let escaped = |c: char| needs_escape(c) && !keep(c);
    if !text.chars().any(escaped) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if escaped(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
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
    fn every_control_character_is_escaped() {
        let controls = (0..=0x9f_u32).filter(|c| *c < 0x20 || *c > 0x7e).chain(0x202a..=0x202e).chain(0x2066..=0x2069);
        for c in controls.filter_map(char::from_u32) {
            let shown = Escaped(c).to_string();
            assert!(shown.starts_with('\\') && shown.is_ascii(), "{shown:?}");
        }
    }
}

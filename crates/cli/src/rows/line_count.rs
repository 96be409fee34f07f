//! Line numbers of a text with any line endings.

/// Counts line breaks: `\n`, `\r\n`, and `\r` alone, as old Mac programs write it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LineCount {
    breaks: u64,
    after_cr: bool,
}

impl LineCount {
    /// Counts the line breaks of the next piece of the text.
    pub(super) fn add(&mut self, text: &[u8]) {
        let Some(last) = text.last() else { return };
        let feeds = memchr::memchr_iter(b'\n', text).count();
        let pairs = usize::from(self.after_cr && text[0] == b'\n');
        let (mut returns, mut pairs) = (0, pairs);
        for at in memchr::memchr_iter(b'\r', text) {
            returns += 1;
            pairs += usize::from(text.get(at + 1) == Some(&b'\n'));
        }
        self.breaks += (feeds + returns - pairs) as u64;
        self.after_cr = *last == b'\r';
    }

    /// Number of the line that the next byte is on, from 1. After `\r`, a `\n` is part of the
    /// break.
    pub(super) fn line(&self) -> u64 {
        self.breaks + 1
    }
}

#[cfg(test)]
mod tests {
    use super::LineCount;

    #[test]
    fn every_kind_of_line_break_counts_once() {
        for (text, line) in [("", 1), ("a\nb", 2), ("a\r\nb\r\n", 3), ("a\rb\rc", 3), ("\r\r\n\n", 4), ("\n\r", 3)] {
            for size in 1..4 {
                let mut lines = LineCount::default();
                text.as_bytes().chunks(size).for_each(|piece| lines.add(piece));
                assert_eq!(lines.line(), line, "{text:?} in pieces of {size}");
            }
        }
    }
}

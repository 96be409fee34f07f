//! Writer of plain text in lines.

/// Maximum visible nesting of quotes and lists; deeper levels look like this one.
const DEEPEST: usize = 8;

/// Plain text being written.
#[derive(Debug, Default)]
pub(super) struct TextWriter {
    text: String,
    /// Whether text can be appended to the last line, and where its words begin.
    is_open: bool,
    words_at: usize,
    /// Whether white space followed the last word.
    space: bool,
    /// Line breaks before the next line.
    breaks: usize,
    /// Nesting of quotes: current, and at the last line.
    pub(super) quotes: usize,
    quoted: usize,
    /// Indentation of lines, in columns.
    pub(super) indent: usize,
    /// Prefix of the next line, and whether it hangs to the left of the indentation.
    marker: String,
    hangs: bool,
}

impl TextWriter {
    /// Length of the text, in bytes.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Writes words separated by white space.
    pub(super) fn words(&mut self, text: &str) {
        for (number, word) in text.split(is_space).enumerate() {
            self.space |= number > 0;
            if word.contains(is_visible) {
                self.word(word);
            }
        }
    }

    /// Writes preformatted lines.
    pub(super) fn lines(&mut self, text: &str) {
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                self.line_break();
            }
            if self.is_open || !line.trim().is_empty() {
                self.open();
                self.text.extend(line.chars().filter(|c| !matches!(c, '\r' | '\x0c')));
            }
        }
    }

    /// Appends text to the last word.
    pub(super) fn tail(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Ends the line, even an empty one.
    pub(super) fn line_break(&mut self) {
        self.breaks = if self.is_open { 1 } else { 2.min(self.breaks + 1) };
        self.close();
    }

    /// Ends the line; at least this many line breaks precede the next one.
    pub(super) fn block(&mut self, breaks: usize) {
        self.close();
        self.breaks = self.breaks.max(breaks);
    }

    /// Sets the prefix of the next line.
    pub(super) fn mark(&mut self, marker: &str, hangs: bool) {
        marker.clone_into(&mut self.marker);
        self.hangs = hangs;
    }

    /// Starts a line and a word if needed. Returns the position of the next word.
    pub(super) fn position(&mut self) -> usize {
        self.open();
        self.separate();
        self.text.len()
    }

    /// Text written since a position.
    pub(super) fn since(&self, position: usize) -> &str {
        self.text.get(position..).unwrap_or_default()
    }

    /// Removes the byte at a position.
    pub(super) fn remove_byte(&mut self, position: usize) {
        self.text.remove(position);
    }

    /// Returns all lines, without trailing spaces.
    pub(super) fn into_text(self) -> String {
        let mut text = String::with_capacity(self.text.len() + 1);
        for line in self.text.trim_end().lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn word(&mut self, word: &str) {
        self.open();
        self.separate();
        self.text.extend(word.chars().filter(|c| !is_break_hint(*c)));
    }

    fn separate(&mut self) {
        if std::mem::take(&mut self.space) && self.text.len() > self.words_at {
            self.text.push(' ');
        }
    }

    fn open(&mut self) {
        if self.is_open {
            return;
        }
        if !self.text.is_empty() {
            self.text.push('\n');
            if self.breaks > 1 {
                self.push_quotes(self.quotes.min(self.quoted));
                self.text.push('\n');
            }
        }
        (self.is_open, self.breaks, self.quoted, self.space) = (true, 0, self.quotes, false);
        self.begin_line();
        self.words_at = self.text.len();
    }

    fn begin_line(&mut self) {
        self.push_quotes(self.quotes);
        let marker = std::mem::take(&mut self.marker);
        let room = if self.hangs { marker.chars().count() } else { 0 };
        self.text.extend(std::iter::repeat_n(' ', self.indent.min(3 * DEEPEST).saturating_sub(room)));
        self.text.push_str(&marker);
    }

    fn push_quotes(&mut self, quotes: usize) {
        self.text.extend(std::iter::repeat_n("> ", quotes.min(DEEPEST)));
    }

    fn close(&mut self) {
        (self.is_open, self.space) = (false, false);
    }
}

/// Whether a character is displayed by itself. Preheaders are filled up with others.
pub(super) fn is_visible(c: char) -> bool {
    !is_space(c) && !is_break_hint(c) && !matches!(c, '\u{200c}' | '\u{200d}' | '\u{200e}' | '\u{200f}')
}

/// Whether a character only marks where a word may be divided, or holds it together.
fn is_break_hint(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{200b}' | '\u{2060}' | '\u{feff}')
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c' | '\u{a0}')
}

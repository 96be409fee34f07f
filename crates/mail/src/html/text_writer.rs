//! Writer of plain text in lines.

/// Column after which lines are wrapped between words; a word is never split.
const WIDTH: usize = 78;
/// Maximum visible nesting of quotes and lists; deeper levels look like this one.
const DEEPEST: usize = 8;

/// Plain text being written.
#[derive(Debug, Default)]
pub(super) struct TextWriter {
    text: String,
    /// Whether text can be appended to the last line, and the number of its characters.
    is_open: bool,
    column: usize,
    /// Position of the last space of the line, where it can be wrapped.
    space_at: Option<usize>,
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
            if !word.is_empty() {
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
                self.text.push_str(line);
                self.column += line.chars().count();
            }
        }
    }

    /// Appends text to the last word.
    pub(super) fn tail(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.chars().count();
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
        self.column = self.column.saturating_sub(1);
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
        self.text.push_str(word);
        self.column += word.chars().count();
        if let Some(space) = self.space_at.filter(|_| self.column > WIDTH) {
            self.wrap(space);
        }
    }

    fn separate(&mut self) {
        if std::mem::take(&mut self.space) && self.column > 0 {
            self.space_at = Some(self.text.len());
            self.text.push(' ');
            self.column += 1;
        }
    }

    /// Wraps the line at a space. A word is wrapped at most once, since no space precedes it
    /// afterwards.
    fn wrap(&mut self, space: usize) {
        let last = self.text.split_off(space);
        self.text.push('\n');
        self.begin_line();
        self.text.push_str(&last[1..]);
        self.column += last.chars().count() - 1;
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
        // The first word is at column 0.
        self.column = 0;
    }

    fn begin_line(&mut self) {
        let start = self.text.len();
        self.push_quotes(self.quotes);
        let marker = std::mem::take(&mut self.marker);
        let room = if self.hangs { marker.chars().count() } else { 0 };
        self.text.extend(std::iter::repeat_n(' ', self.indent.min(3 * DEEPEST).saturating_sub(room)));
        self.text.push_str(&marker);
        (self.column, self.space_at) = (self.text.len() - start, None);
    }

    fn push_quotes(&mut self, quotes: usize) {
        self.text.extend(std::iter::repeat_n("> ", quotes.min(DEEPEST)));
    }

    fn close(&mut self) {
        (self.is_open, self.space) = (false, false);
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c' | '\u{a0}')
}

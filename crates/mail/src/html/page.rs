//! Lines of a plain text, written one after the other.

/// Where lines end between words; a word is never cut.
const WIDTH: usize = 78;
/// Levels of quotes and lists beyond it look like this one.
const DEEPEST: usize = 8;

/// A text that grows.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
    /// Whether the last line may go on, and how many characters it has.
    is_open: bool,
    column: usize,
    /// The last space in it, where it may still be broken.
    space_at: Option<usize>,
    /// Whether white space came after the last word.
    space: bool,
    /// Line breaks before the next line.
    breaks: usize,
    /// Levels of quotes, now and at the last line.
    pub(super) quotes: usize,
    quoted: usize,
    /// How far lines are moved to the right.
    pub(super) indent: usize,
    /// What the next line begins with: at its indent, or hanging before it.
    marker: String,
    hangs: bool,
}

impl Page {
    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Words with white space between them.
    pub(super) fn words(&mut self, text: &str) {
        for (number, word) in text.split(is_space).enumerate() {
            self.space |= number > 0;
            if !word.is_empty() {
                self.word(word);
            }
        }
    }

    /// Lines as they are.
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

    /// What belongs to the last word, if there is one.
    pub(super) fn tail(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.chars().count();
    }

    /// The end of the line, even of an empty one.
    pub(super) fn line_break(&mut self) {
        self.breaks = if self.is_open { 1 } else { 2.min(self.breaks + 1) };
        self.close();
    }

    /// The end of the line, and as many line breaks at least before the next.
    pub(super) fn block(&mut self, breaks: usize) {
        self.close();
        self.breaks = self.breaks.max(breaks);
    }

    /// What the next line begins with.
    pub(super) fn mark(&mut self, marker: &str, hangs: bool) {
        marker.clone_into(&mut self.marker);
        self.hangs = hangs;
    }

    /// Where the next word will stand, once the line and the space before it are there.
    pub(super) fn place(&mut self) -> usize {
        self.open();
        self.separate();
        self.text.len()
    }

    /// What was written from a place on.
    pub(super) fn since(&self, place: usize) -> &str {
        self.text.get(place..).unwrap_or_default()
    }

    /// Takes out one byte that was written at a place.
    pub(super) fn take_out(&mut self, place: usize) {
        self.text.remove(place);
        self.column = self.column.saturating_sub(1);
    }

    /// All lines, without spaces at their ends.
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

    /// Breaks the line at a space; a word is moved once at most, since no space is left before it then.
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
        // It is the place of the first word.
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

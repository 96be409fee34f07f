//! Quotes of a CSV (RFC 4180). Where they are wrong, nobody knows where the fields end.

use super::super::{complaints::LineList, line_count::LineCount};

/// Checks the quotes of a text in pieces.
#[derive(Debug)]
pub(in crate::rows) struct QuoteCheck {
    delimiter: u8,
    position: Position,
    lines: LineCount,
    ends_with_break: bool,
    /// Line on which the last quoted field begins.
    opened: u64,
    /// Whether the byte before is a backslash, or is a quote after one.
    is_escaped: bool,
    previous: u8,
    /// A quoted field that ends with a backslash, in this record or the one before.
    suspect: Option<Suspect>,
    stray: LineList,
    escaped: LineList,
}

/// Quoted field that ends with a backslash: a path, or a quote escaped as in MySQL.
#[derive(Debug, Clone, Copy)]
struct Suspect {
    line: u64,
    /// Number of line breaks since.
    breaks: u8,
}

/// Position within a record, which decides the meaning of a double quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// Before the first character of a field; blanks do not count.
    FieldStart,
    Bare,
    Quoted,
    /// After a quote in a quoted field: it closes the field, or is the first of two.
    AfterQuote,
    /// After blanks behind a closed field.
    AfterBlank,
}

/// Returns true for blanks around fields.
pub(super) fn is_blank(byte: u8, delimiter: u8) -> bool {
    matches!(byte, b' ' | b'\t') && byte != delimiter
}

impl Position {
    /// Returns the position after `byte`. Text behind a closed field counts as unquoted.
    pub(super) fn after(self, byte: u8, delimiter: u8) -> Self {
        match (self, byte) {
            (Self::FieldStart | Self::AfterQuote, b'"') => Self::Quoted,
            (Self::Quoted, b'"') => Self::AfterQuote,
            (Self::Quoted, _) => Self::Quoted,
            (_, b'\r' | b'\n') => Self::FieldStart,
            (_, byte) if byte == delimiter => Self::FieldStart,
            (Self::FieldStart, byte) if is_blank(byte, delimiter) => Self::FieldStart,
            (Self::AfterQuote | Self::AfterBlank, byte) if is_blank(byte, delimiter) => Self::AfterBlank,
            (_, _) => Self::Bare,
        }
    }

    fn is_closed(self) -> bool {
        matches!(self, Self::AfterQuote | Self::AfterBlank)
    }
}

impl QuoteCheck {
    pub(in crate::rows) fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            position: Position::FieldStart,
            lines: LineCount::default(),
            ends_with_break: false,
            opened: 0,
            is_escaped: false,
            previous: b'\n',
            suspect: None,
            stray: LineList::default(),
            escaped: LineList::default(),
        }
    }

    /// Checks the next piece of the text.
    pub(in crate::rows) fn add(&mut self, text: &[u8]) {
        self.ends_with_break = text.last().map_or(self.ends_with_break, |byte| matches!(byte, b'\r' | b'\n'));
        let mut rest = text;
        while !rest.is_empty() {
            let plain = self.plain_bytes(rest);
            self.lines.add(&rest[..plain]);
            self.previous = rest[..plain].last().copied().unwrap_or(self.previous);
            for byte in &rest[plain..(plain + 1).min(rest.len())] {
                self.step(*byte);
            }
            rest = &rest[(plain + 1).min(rest.len())..];
        }
    }

    /// Skips bytes that leave everything but the line number as it is; returns their number.
    fn plain_bytes(&mut self, text: &[u8]) -> usize {
        match self.position {
            Position::Quoted => {
                let end = memchr::memchr2(b'"', b'\\', text).unwrap_or(text.len());
                self.is_escaped &= end == 0;
                end
            }
            Position::Bare | Position::FieldStart if self.suspect.is_none() => self.unquoted_bytes(text),
            Position::Bare | Position::FieldStart | Position::AfterQuote | Position::AfterBlank => 0,
        }
    }

    /// Skips whole fields without quotes.
    fn unquoted_bytes(&mut self, text: &[u8]) -> usize {
        let quote = memchr::memchr(b'"', text).unwrap_or(text.len());
        let delimiter = self.delimiter;
        let ends = |byte: &u8| matches!(byte, b'\r' | b'\n') || *byte == delimiter;
        let last = text[..quote].iter().rposition(ends).map(|at| at + 1);
        if last.is_some() {
            self.position = Position::FieldStart;
        }
        let field = &text[last.unwrap_or(0)..quote];
        if !field.iter().all(|byte| is_blank(*byte, delimiter)) {
            self.position = Position::Bare;
        }
        quote
    }

    fn step(&mut self, byte: u8) {
        let before = self.position;
        let line = self.lines.line();
        self.lines.add(&[byte]);
        self.position = before.after(byte, self.delimiter);
        match (before, self.position) {
            (Position::FieldStart, Position::Quoted) => (self.opened, self.suspect) = (line, None),
            (_, Position::Bare) if before.is_closed() => self.text_after_field(),
            (Position::Bare, Position::Bare) if byte == b'"' && self.previous == b'\\' => self.escaped.add(line),
            (_, Position::FieldStart) if before.is_closed() && self.is_escaped => {
                self.suspect = Some(Suspect { line: self.opened, breaks: 0 });
            }
            (Position::Bare, Position::FieldStart) if self.is_escaped => self.field_ends_with_quote(),
            (_, _) => {}
        }
        if matches!(byte, b'\r' | b'\n') {
            self.record_ends();
        }
        self.previous = byte;
        self.is_escaped = match self.position {
            Position::Quoted => byte == b'\\' && !(before == Position::Quoted && self.is_escaped),
            Position::AfterQuote | Position::AfterBlank => self.is_escaped,
            // An unquoted field that ends with a quote is the tail of a suspect.
            Position::Bare => byte == b'"' && self.suspect.is_some(),
            Position::FieldStart => false,
        };
    }

    fn text_after_field(&mut self) {
        if self.is_escaped { self.escaped.add(self.opened) } else { self.stray.add(self.opened) }
    }

    fn field_ends_with_quote(&mut self) {
        if let Some(suspect) = self.suspect.take() {
            self.escaped.add(suspect.line);
        }
    }

    fn record_ends(&mut self) {
        self.suspect = self.suspect.filter(|suspect| suspect.breaks < 2);
        if let Some(suspect) = &mut self.suspect {
            suspect.breaks += 1;
        }
    }

    /// Returns the lines with a problem and the problem, after the last piece.
    pub(in crate::rows) fn end(mut self) -> Result<(), QuoteProblem> {
        if self.position == Position::Bare && self.is_escaped {
            self.field_ends_with_quote();
        }
        if !self.escaped.is_empty() {
            return Err(QuoteProblem { lines: self.escaped, problem: ESCAPED.to_owned() });
        }
        if !self.stray.is_empty() {
            return Err(QuoteProblem { lines: self.stray, problem: STRAY.to_owned() });
        }
        if self.position == Position::Quoted {
            return Err(self.unclosed());
        }
        Ok(())
    }

    fn unclosed(&self) -> QuoteProblem {
        let lost = self.lines.line() - self.opened + u64::from(!self.ends_with_break);
        let problem = format!("the quote opened here is never closed: it swallows the {lost} lines from here on");
        QuoteProblem { lines: LineList::of(self.opened), problem }
    }
}

const ESCAPED: &str = "a quote is escaped with a backslash (\\\"); CSV doubles it (\"\"): \
                       in MySQL, export with ESCAPED BY '\"'";
const STRAY: &str = "text follows the quote that closes a field; write a quote inside a quoted field twice (\"\")";

/// Why the quotes are wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::rows) struct QuoteProblem {
    pub(in crate::rows) lines: LineList,
    pub(in crate::rows) problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the message, whatever the size of the pieces.
    fn problem(text: &str) -> Option<String> {
        let whole = problem_in_pieces(text, text.len().max(1));
        for size in [1, 2, 3, 7] {
            assert_eq!(problem_in_pieces(text, size), whole, "{text:?} in pieces of {size}");
        }
        whole
    }

    fn problem_in_pieces(text: &str, size: usize) -> Option<String> {
        let mut check = QuoteCheck::new(b',');
        text.as_bytes().chunks(size).for_each(|piece| check.add(piece));
        check.end().err().map(|problem| format!("{}: {}", problem.lines, problem.problem))
    }

    #[test]
    fn valid_quotes() {
        for text in [
            "",
            "a,b\n1,2",
            "\"a\",\"b\"\r\n\"1\",\"2\"\r\n",
            "a,\"say \"\"hi\"\"\"\n",
            "a, \"b, c\" , d\n",
            "5\" pipe,7\" pipe\n",
            "\"two\nlines\",b\n",
            "\"\",\"\"\n",
            // A path ends with a backslash.
            "\"C:\\\",\"D:\\\"\n\"E:\\\",f\n\"C:\\\\\"\nx\ny\n5\"\n",
            "\"E:\\\",f\nx\ny\n5\"\n",
            "=\"00123\",b\n",
        ] {
            assert_eq!(problem(text), None, "{text:?}");
        }
    }

    #[test]
    fn wrong_quotes_are_found_with_the_line_of_their_field() {
        for (text, expected) in [
            ("a,b\n1,\"x\" y\n2,\"z\"z\n", format!("lines 2 and 3: {STRAY}")),
            ("a,b\n1,\"x\n\ny\nz\"z\n", format!("line 2: {STRAY}")),
            ("a\r\"x\" y\r", format!("line 2: {STRAY}")),
            ("\"x\" y,\"z\" w\n", format!("line 1: {STRAY}")),
            ("a,b\n1,say \\\"hi\\\"\n", format!("line 2: {ESCAPED}")),
            ("a,b\n1,\"say \\\"hi\\\"\"\n", format!("line 2: {ESCAPED}")),
            ("a,b\n1,\"say \\\" hi\"\n", format!("line 2: {ESCAPED}")),
            ("a,b\n1,\"a \\\", b\"\n", format!("line 2: {ESCAPED}")),
            ("a,b\n1,\"a \\\"\nb\"\n", format!("line 2: {ESCAPED}")),
            ("a,b\n1,\"a \\\"\nb\"", format!("line 2: {ESCAPED}")),
        ] {
            assert_eq!(problem(text), Some(expected), "{text:?}");
        }
        let many: String = (0..9).map(|_| "\"x\"y\n").collect();
        assert_eq!(problem(&many), Some(format!("lines 1, 2, 3, 4, 5 and 4 more: {STRAY}")));
    }

    #[test]
    fn an_unclosed_quote_is_found_where_it_opens() {
        for (text, line, lost) in [
            ("a,b\n1,2\n1,\"A\n2,B\n", 3, 2),
            ("a,b\n1,5\"\n\"1,A\n2,B\n3,C", 3, 3),
            ("\"", 1, 1),
            ("a\r\n\"b\r\n", 2, 1),
        ] {
            let expected = format!(
                "line {line}: the quote opened here is never closed: it swallows the {lost} lines from here on"
            );
            assert_eq!(problem(text), Some(expected), "{text:?}");
        }
    }
}

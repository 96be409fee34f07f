//! Splits a JSON text into records, in constant memory: one object a line, the items of one list,
//! or objects over several lines.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

/// Text that begins with the first line that is not blank.
type Input<R> = Chain<Cursor<Vec<u8>>, BufReader<R>>;

/// Records of a JSON text.
pub(super) struct JsonRecords<R> {
    input: Input<R>,
    layout: Layout,
    max_bytes: usize,
    /// Number of lines that were read to their end.
    lines: u64,
    /// Text of the current record; only its beginning if it is too long.
    text: Vec<u8>,
    /// Number of bytes of the current record.
    length: u64,
}

/// Arrangement of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Lines,
    /// The items of a list: before the bracket, before an item, or after the closing bracket.
    ListStart,
    ListItem,
    ListEnd,
    /// Objects over several lines, one after the other.
    Objects,
}

/// A record.
pub(super) struct JsonRecord<'a> {
    /// Line on which it begins, from 1.
    pub(super) line: u64,
    /// Its text, or the length in bytes of a record that is too long.
    pub(super) text: Result<&'a [u8], u64>,
}

/// Why there are no more records.
#[derive(Debug)]
pub(super) enum RecordFault {
    Unreadable(io::Error),
    /// A fault between the records, with its line.
    Malformed {
        line: u64,
        problem: &'static str,
    },
}

impl From<io::Error> for RecordFault {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Begins each record of a JSON text sequence (RFC 7464).
const RECORD_SEPARATOR: u8 = 0x1e;

const NO_END: &str = "the text ends within the list; its closing ] is missing";
const NOT_CLOSED: &str =
    "what begins here is not closed before the text ends; a bracket, a brace or a quote is missing";

impl<R: Read> JsonRecords<R> {
    /// Reads the first line, which decides the arrangement.
    pub(super) fn open(input: R, max_bytes: usize) -> Result<Self, RecordFault> {
        let mut input = BufReader::with_capacity(1 << 16, input);
        let (mut head, mut lines) = (Vec::new(), 0);
        loop {
            head.clear();
            let read = input.by_ref().take(max_bytes as u64 + 1).read_until(b'\n', &mut head)?;
            while lines == 0 && head.starts_with(BYTE_ORDER_MARK) {
                head.drain(..BYTE_ORDER_MARK.len());
            }
            if read == 0 || !is_blank(&head) {
                break;
            }
            lines += u64::from(head.ends_with(b"\n"));
        }
        if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
            let problem = "the text is UTF-16; convert it with: iconv -f UTF-16 -t UTF-8";
            return Err(RecordFault::Malformed { line: 1, problem });
        }
        let layout = Layout::of(&head);
        Ok(Self { input: Cursor::new(head).chain(input), layout, max_bytes, lines, text: Vec::new(), length: 0 })
    }

    /// Whether several records may stand on a line, or one on several lines.
    pub(super) fn has_structure(&self) -> bool {
        self.layout != Layout::Lines
    }

    /// Reads the next record.
    pub(super) fn next(&mut self) -> Result<Option<JsonRecord<'_>>, RecordFault> {
        self.text.clear();
        self.length = 0;
        let line = match self.layout {
            Layout::Lines => self.read_line()?,
            Layout::ListStart | Layout::ListItem | Layout::ListEnd => self.read_item()?,
            Layout::Objects => self.read_object()?,
        };
        let Some(line) = line else { return Ok(None) };
        let text = if self.length > self.max_bytes as u64 { Err(self.length) } else { Ok(&*self.text) };
        Ok(Some(JsonRecord { line, text }))
    }

    /// Reads the next line that is not blank.
    fn read_line(&mut self) -> Result<Option<u64>, RecordFault> {
        loop {
            self.text.clear();
            let most = self.max_bytes as u64 + 1;
            self.length = self.input.by_ref().take(most).read_until(b'\n', &mut self.text)? as u64;
            if self.length == 0 {
                return Ok(None);
            }
            self.lines += 1;
            if self.length == most && self.text.last() != Some(&b'\n') {
                self.length += skip_line(&mut self.input)?;
            }
            if self.text.first() == Some(&RECORD_SEPARATOR) {
                self.text.remove(0);
            }
            if !is_blank(&self.text) {
                return Ok(Some(self.lines));
            }
        }
    }

    /// Reads the next item of the list, up to its comma or to the end of the list.
    fn read_item(&mut self) -> Result<Option<u64>, RecordFault> {
        if self.layout == Layout::ListStart {
            self.skip_blanks()?;
            self.input.consume(1);
            self.layout = Layout::ListItem;
            if self.skip_blanks()? == Some(b']') {
                self.input.consume(1);
                self.layout = Layout::ListEnd;
            }
        }
        if self.layout == Layout::ListEnd {
            return match self.skip_blanks()? {
                None => Ok(None),
                Some(_) => Err(self.malformed("more text follows the end of the list")),
            };
        }
        match self.skip_blanks()? {
            None => return Err(self.malformed(NO_END)),
            Some(b',') => return Err(self.malformed("a comma stands where a mail is missing")),
            Some(b']') => return Err(self.malformed("a comma stands before the closing ] of the list")),
            Some(_) => {}
        }
        let line = self.lines + 1;
        self.read_value(|byte, depth| depth == 0 && matches!(byte, b',' | b']'))?;
        match self.peek()? {
            None => return Err(RecordFault::Malformed { line, problem: NOT_CLOSED }),
            Some(b']') => self.layout = Layout::ListEnd,
            Some(_) => {}
        }
        self.input.consume(1);
        Ok(Some(line))
    }

    /// Reads the next object, up to its closing brace.
    fn read_object(&mut self) -> Result<Option<u64>, RecordFault> {
        match self.skip_blanks()? {
            None => return Ok(None),
            Some(b'{') => {}
            Some(b',') => {
                return Err(self.malformed("a comma follows the object; objects stand in a list or without commas"));
            }
            Some(_) => return Err(self.malformed("more text follows the object")),
        }
        let line = self.lines + 1;
        let mut is_closed = false;
        self.read_value(|byte, depth| {
            let ends = is_closed;
            is_closed = depth == 1 && byte == b'}';
            ends
        })?;
        if !is_closed && self.peek()?.is_none() {
            return Err(RecordFault::Malformed { line, problem: NOT_CLOSED });
        }
        Ok(Some(line))
    }

    /// Reads bytes until `is_end` accepts one outside of strings; that byte is not read. `is_end`
    /// receives the byte and the number of open brackets before it.
    fn read_value(&mut self, mut is_end: impl FnMut(u8, usize) -> bool) -> io::Result<()> {
        let mut scan = Nesting::default();
        loop {
            let block = self.input.fill_buf()?;
            if block.is_empty() {
                return Ok(());
            }
            let end = block.iter().position(|byte| {
                let ends = !scan.in_string && is_end(*byte, scan.depth);
                if !ends {
                    scan.add(*byte);
                }
                ends
            });
            let value = &block[..end.unwrap_or(block.len())];
            let room = (self.max_bytes + 1).saturating_sub(self.text.len());
            self.text.extend_from_slice(&value[..value.len().min(room)]);
            self.length += value.len() as u64;
            self.lines += memchr::memchr_iter(b'\n', value).count() as u64;
            let read = value.len();
            self.input.consume(read);
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// Skips white space and returns the next byte, which is not read.
    fn skip_blanks(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.peek()? {
                Some(byte) if byte.is_ascii_whitespace() || byte == RECORD_SEPARATOR => {
                    self.lines += u64::from(byte == b'\n');
                    self.input.consume(1);
                }
                next => return Ok(next),
            }
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.input.fill_buf()?.first().copied())
    }

    fn malformed(&self, problem: &'static str) -> RecordFault {
        RecordFault::Malformed { line: self.lines + 1, problem }
    }
}

impl Layout {
    /// A bracket begins a list. A brace that is open at the end of the line begins an object over
    /// several lines.
    fn of(first_line: &[u8]) -> Self {
        let mut scan = Nesting::default();
        first_line.iter().for_each(|byte| scan.add(*byte));
        let is_open = scan.depth > 0 && !scan.in_string && first_line.ends_with(b"\n");
        match first_line.iter().find(|byte| !byte.is_ascii_whitespace() && **byte != RECORD_SEPARATOR) {
            Some(b'[') => Self::ListStart,
            Some(b'{') if is_open => Self::Objects,
            _ => Self::Lines,
        }
    }
}

/// Number of open brackets and braces, outside of strings.
#[derive(Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
}

impl Nesting {
    fn add(&mut self, byte: u8) {
        match (self.in_string, byte) {
            (true, _) if self.is_escaped => self.is_escaped = false,
            (true, b'\\') => self.is_escaped = true,
            (_, b'"') => self.in_string = !self.in_string,
            (false, b'[' | b'{') => self.depth += 1,
            (false, b']' | b'}') => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

fn is_blank(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_whitespace() || *byte == RECORD_SEPARATOR)
}

/// Skips the rest of the line and returns the number of skipped bytes.
fn skip_line(input: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let block = input.fill_buf()?;
        let end = memchr::memchr(b'\n', block).map(|at| at + 1);
        let read = end.unwrap_or(block.len());
        input.consume(read);
        skipped += read as u64;
        if end.is_some() || read == 0 {
            return Ok(skipped);
        }
    }
}

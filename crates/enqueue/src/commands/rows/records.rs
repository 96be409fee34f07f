//! Records of a CSV, in bounded memory: one that is too large is read to its end, counted, and not kept.

use std::io::{self, BufRead, BufReader, Read};

use csv_core::{ReadRecordResult, Reader};

use super::lines::UnixLines;

/// Bytes of a record.
pub(super) const MAX_RECORD: usize = 16 << 20;
/// Fields of a record.
pub(super) const MAX_COLUMNS: usize = 1_000;

/// Records as they come.
pub(super) struct Records<R> {
    parser: Reader,
    input: BufReader<UnixLines<R>>,
    bytes_read: u64,
    /// The fields of this record, one behind the other, and where each ends; what is behind the lengths is left from others.
    fields: Vec<u8>,
    length: usize,
    ends: Vec<usize>,
    columns: usize,
    /// What was there of this record before the buffers were used again, where it is too large.
    dropped: Option<Count>,
}

/// How much there was of a record that was not kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) bytes: u64,
    pub(super) columns: u64,
    /// Line ends.
    pub(super) breaks: u64,
    /// Lines that are not empty.
    pub(super) lines: u64,
    is_in_line: bool,
}

impl<R: Read> Records<R> {
    pub(super) fn of(input: R) -> Self {
        Self {
            parser: Reader::new(),
            input: BufReader::with_capacity(1 << 16, UnixLines::of(input)),
            bytes_read: 0,
            fields: vec![0; 1 << 10],
            length: 0,
            ends: vec![0; 16],
            columns: 0,
            dropped: None,
        }
    }

    /// Reads the next record; false after the last one.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
        (self.length, self.columns, self.dropped) = (0, 0, None);
        loop {
            let (fields, ends) = (&mut self.fields[self.length..], &mut self.ends[self.columns..]);
            let (result, read, written, ended) = self.parser.read_record(self.input.fill_buf()?, fields, ends);
            self.input.consume(read);
            self.bytes_read += read as u64;
            self.length += written;
            self.columns += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.make_room(),
                ReadRecordResult::OutputEndsFull => self.make_columns(),
                ReadRecordResult::Record => return Ok(true),
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    /// One byte more than a record may have tells one of just that size from a longer one.
    fn make_room(&mut self) {
        let room = self.fields.len();
        if room > MAX_RECORD {
            return self.drop_what_is_there();
        }
        self.fields.resize((room * 2).min(MAX_RECORD + 1), 0);
    }

    fn make_columns(&mut self) {
        let room = self.ends.len();
        if room > MAX_COLUMNS {
            return self.drop_what_is_there();
        }
        self.ends.resize((room * 2).min(MAX_COLUMNS + 1), 0);
    }

    fn drop_what_is_there(&mut self) {
        let mut count = self.dropped.unwrap_or_default();
        count.add(&self.fields[..self.length], self.columns);
        self.dropped = Some(count);
        (self.length, self.columns) = (0, 0);
    }

    /// All of the record where it is too large to be kept.
    pub(super) fn excess(&self) -> Option<Count> {
        let is_whole = self.length <= MAX_RECORD && self.columns <= MAX_COLUMNS;
        if self.dropped.is_none() && is_whole { None } else { Some(self.count()) }
    }

    /// What the record consists of.
    pub(super) fn count(&self) -> Count {
        let mut count = self.dropped.unwrap_or_default();
        count.add(&self.fields[..self.length], self.columns);
        count
    }

    /// Fields of the record, where it was kept.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// A field of the record, where it was kept; empty beyond the last one.
    pub(super) fn field(&self, at: usize) -> &[u8] {
        if at >= self.columns {
            return &[];
        }
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.fields[start..self.ends[at]]
    }

    /// Line ends within the record.
    pub(super) fn breaks(&self) -> u64 {
        let kept = memchr::memchr_iter(b'\n', &self.fields[..self.length]).count() as u64;
        kept + self.dropped.map_or(0, |dropped| dropped.breaks)
    }

    /// The line that the parser is at.
    pub(super) fn line(&self) -> u64 {
        self.parser.line()
    }

    /// Whether the record is the last one, and the quotes of the input do not add up.
    pub(super) fn ends_in_quotes(&self) -> bool {
        let lines = self.input.get_ref();
        lines.whole() == Some(self.bytes_read) && lines.quotes() % 2 == 1 && self.breaks() > 0
    }
}

impl Count {
    fn add(&mut self, text: &[u8], columns: usize) {
        self.bytes += text.len() as u64;
        self.columns += columns as u64;
        for byte in text {
            let is_break = *byte == b'\n';
            self.breaks += u64::from(is_break);
            self.lines += u64::from(!is_break && !self.is_in_line);
            self.is_in_line = !is_break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Vec<Vec<String>> {
        let mut records = Records::of(text.as_bytes());
        let mut all = Vec::new();
        while records.advance().expect("text") {
            let field = |at| String::from_utf8(records.field(at).to_vec()).expect("UTF-8");
            all.push((0..records.columns()).map(field).collect());
        }
        all
    }

    #[test]
    fn fields_come_as_they_are() {
        let long = "x".repeat(5_000);
        let many = (0..MAX_COLUMNS).map(|n| n.to_string()).collect::<Vec<_>>();
        let text = format!("\u{feff}a,b\n\n1,\"x \"\"y\"\"\n,z\"\n{long},\n{}\n", many.join(","));
        assert_eq!(
            records(&text),
            [vec!["a", "b"], vec!["1", "x \"y\"\n,z"], vec![&*long, ""], { many.iter().map(String::as_str).collect() }]
        );
    }

    #[test]
    fn what_is_too_large_is_counted_and_what_comes_after_it_is_read() {
        for (large, columns) in [
            (format!("\"{}\"", "line\n\n".repeat(MAX_RECORD / 6 + 1)), 1),
            ("x,".repeat(MAX_COLUMNS), MAX_COLUMNS as u64 + 1),
            (",".repeat(100_000), 100_001),
        ] {
            let text = format!("a\n{large}\nb,c\n");
            let mut records = Records::of(text.as_bytes());
            assert!(records.advance().expect("text") && records.excess().is_none());
            assert!(records.advance().expect("text"));
            let count = records.excess().expect("too large");
            assert_eq!((count.columns, count.breaks), (columns, large.matches('\n').count() as u64));
            assert_eq!(count.lines, if large.contains('\n') { count.breaks / 2 } else { 1 }.min(count.bytes));
            assert!(records.fields.len() <= MAX_RECORD + 1 && records.ends.len() <= MAX_COLUMNS + 1);
            assert!(records.advance().expect("text") && records.excess().is_none());
            assert_eq!((records.field(0), records.field(1), records.field(2)), (&b"b"[..], &b"c"[..], &b""[..]));
            assert!(!records.advance().expect("text"));
        }
    }

    #[test]
    fn a_record_of_just_the_size_is_kept() {
        for (length, is_kept) in [(MAX_RECORD, true), (MAX_RECORD + 1, false)] {
            let text = "x".repeat(length);
            let mut records = Records::of(text.as_bytes());
            assert!(records.advance().expect("text"));
            assert_eq!(records.excess().is_none(), is_kept, "{length}");
        }
    }
}

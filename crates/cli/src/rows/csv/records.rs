//! Records of a CSV, read in bounded memory. A record that is too large is skipped, but its size is
//! counted.

use std::io::{self, BufRead, BufReader, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::unix_lines::UnixLines;

/// Maximum number of bytes of a record.
pub(in crate::rows) const MAX_RECORD: usize = 16 << 20;
/// Maximum number of fields of a record.
pub(super) const MAX_COLUMNS: usize = 1_000;

/// Reads one record at a time.
pub(super) struct Records<R> {
    parser: Reader,
    input: BufReader<UnixLines<R>>,
    /// Fields of the current record, concatenated; valid up to `length`.
    fields: Vec<u8>,
    length: usize,
    /// End of each field in `fields`; valid up to `columns`.
    ends: Vec<usize>,
    columns: usize,
    /// Size of the part that was dropped from a record that is too large.
    dropped: Option<RecordSize>,
}

/// Size of a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RecordSize {
    pub(super) bytes: u64,
    pub(super) columns: u64,
    /// Number of line breaks.
    pub(super) breaks: u64,
    /// Number of lines that are not empty.
    pub(super) lines: u64,
    is_in_line: bool,
}

impl<R: Read> Records<R> {
    /// Reads text in UTF-8 without a byte order mark.
    pub(super) fn new(input: R, delimiter: u8) -> Self {
        Self {
            parser: ReaderBuilder::new().delimiter(delimiter).build(),
            input: BufReader::with_capacity(1 << 16, UnixLines::new(input, delimiter)),
            fields: vec![0; 1 << 10],
            length: 0,
            ends: vec![0; 16],
            columns: 0,
            dropped: None,
        }
    }

    /// Reads the next record; returns false after the last one.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
        (self.length, self.columns, self.dropped) = (0, 0, None);
        loop {
            let (fields, ends) = (&mut self.fields[self.length..], &mut self.ends[self.columns..]);
            let (result, read, written, ended) = self.parser.read_record(self.input.fill_buf()?, fields, ends);
            self.input.consume(read);
            self.length += written;
            self.columns += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.grow_fields(),
                ReadRecordResult::OutputEndsFull => self.grow_columns(),
                ReadRecordResult::Record => return Ok(true),
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    /// Grows the buffer to one byte over the maximum, which shows that a record is too large.
    fn grow_fields(&mut self) {
        let room = self.fields.len();
        if room > MAX_RECORD {
            return self.drop_fields();
        }
        self.fields.resize((room * 2).min(MAX_RECORD + 1), 0);
    }

    fn grow_columns(&mut self) {
        let room = self.ends.len();
        if room > MAX_COLUMNS {
            return self.drop_fields();
        }
        self.ends.resize((room * 2).min(MAX_COLUMNS + 1), 0);
    }

    fn drop_fields(&mut self) {
        let mut size = self.dropped.unwrap_or_default();
        size.add(&self.fields[..self.length], self.columns);
        self.dropped = Some(size);
        (self.length, self.columns) = (0, 0);
    }

    /// Returns the size of a record that is too large, else `None`.
    pub(super) fn oversize(&self) -> Option<RecordSize> {
        let is_whole = self.length <= MAX_RECORD && self.columns <= MAX_COLUMNS;
        if self.dropped.is_none() && is_whole { None } else { Some(self.size()) }
    }

    /// Size of the record, with its dropped part.
    fn size(&self) -> RecordSize {
        let mut size = self.dropped.unwrap_or_default();
        size.add(&self.fields[..self.length], self.columns);
        size
    }

    /// Number of fields of a record that was kept.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Returns a field of a record that was kept; empty after the last one.
    pub(super) fn field(&self, at: usize) -> &[u8] {
        if at >= self.columns {
            return &[];
        }
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.fields[start..self.ends[at]]
    }

    /// Number of line breaks within the record.
    fn breaks(&self) -> u64 {
        let kept = memchr::memchr_iter(b'\n', &self.fields[..self.length]).count() as u64;
        kept + self.dropped.map_or(0, |dropped| dropped.breaks)
    }

    /// Line on which the record begins, from 1. The parser counts those that it has read.
    pub(super) fn line(&self) -> u64 {
        self.parser.line().saturating_sub(1 + self.breaks())
    }
}

impl RecordSize {
    /// Returns why a record of this size is not read.
    pub(super) fn problem(&self) -> String {
        if self.columns > MAX_COLUMNS as u64 {
            return format!("it has {} fields; a row may have {MAX_COLUMNS}", self.columns);
        }
        let (bytes, lines) = (self.bytes, self.lines);
        format!("it has {bytes} bytes in {lines} lines; a row may have {MAX_RECORD} (is a quote left open?)")
    }

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
        let mut records = Records::new(text.as_bytes(), b',');
        let mut all = Vec::new();
        while records.advance().expect("text") {
            let field = |at| String::from_utf8(records.field(at).to_vec()).expect("UTF-8");
            all.push((0..records.columns()).map(field).collect());
        }
        all
    }

    #[test]
    fn fields_are_returned_unchanged() {
        let long = "x".repeat(5_000);
        let many = (0..MAX_COLUMNS).map(|n| n.to_string()).collect::<Vec<_>>();
        let text = format!("a,b\n\n1,\"x \"\"y\"\"\n,z\"\n{long},\n{}\n", many.join(","));
        assert_eq!(
            records(&text),
            [vec!["a", "b"], vec!["1", "x \"y\"\n,z"], vec![&*long, ""], { many.iter().map(String::as_str).collect() }]
        );
    }

    #[test]
    fn an_oversized_record_is_counted_and_the_next_one_is_read() {
        for (large, columns) in [
            (format!("\"{}\"", "line\n\n".repeat(MAX_RECORD / 6 + 1)), 1),
            ("x,".repeat(MAX_COLUMNS), MAX_COLUMNS as u64 + 1),
            (",".repeat(100_000), 100_001),
        ] {
            let text = format!("a\n{large}\nb,c\n");
            let mut records = Records::new(text.as_bytes(), b',');
            assert!(records.advance().expect("text") && records.oversize().is_none());
            assert!(records.advance().expect("text"));
            let size = records.oversize().expect("too large");
            assert_eq!((size.columns, size.breaks), (columns, large.matches('\n').count() as u64));
            assert_eq!(size.lines, if large.contains('\n') { size.breaks / 2 } else { 1 }.min(size.bytes));
            assert!(records.fields.len() <= MAX_RECORD + 1 && records.ends.len() <= MAX_COLUMNS + 1);
            assert!(records.advance().expect("text") && records.oversize().is_none());
            assert_eq!((records.field(0), records.field(1), records.field(2)), (&b"b"[..], &b"c"[..], &b""[..]));
            assert!(!records.advance().expect("text"));
        }
    }

    #[test]
    fn a_record_of_the_maximum_size_is_kept() {
        for (length, is_kept) in [(MAX_RECORD, true), (MAX_RECORD + 1, false)] {
            let text = "x".repeat(length);
            let mut records = Records::new(text.as_bytes(), b',');
            assert!(records.advance().expect("text"));
            assert_eq!(records.oversize().is_none(), is_kept, "{length}");
        }
    }
}

//! Sources of rows: a file, standard input, the command line.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::FileTypeExt,
    path::PathBuf,
};

use postroom_core::{InvalidInput, Mailbox};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::{
    csv,
    jsonl::{self, JsonRowFormat},
    row::{Rows, from_addresses},
};

/// Format and location of the rows.
#[derive(Debug)]
pub(crate) enum RowSource {
    /// A CSV file with a header.
    Csv(InputFile),
    /// A file of JSON lines.
    Jsonl { file: InputFile, format: JsonRowFormat },
    /// Addresses from the command line.
    Addresses(Vec<Mailbox>),
}

/// A file or stream that holds rows.
#[derive(Debug)]
pub(crate) enum InputFile {
    File(PathBuf),
    Stdin,
    /// A named pipe, or a process substitution of the shell such as `<(command)`.
    Pipe(PathBuf),
    /// A temporary copy of a pipe or standard input, which can be read twice.
    Spooled(NamedTempFile),
}

/// A source that can be read and is UTF-8.
#[derive(Debug)]
pub(crate) struct ScannedSource {
    source: RowSource,
    /// Hash of the content; empty if it can be read only once.
    pub(crate) hash: String,
}

impl InputFile {
    /// Returns the file at `path`, or standard input for `-`.
    pub(crate) fn new(path: &str) -> Self {
        let is_pipe =
            || fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo() || file.file_type().is_socket());
        match path {
            "-" => Self::Stdin,
            path if is_pipe() => Self::Pipe(path.into()),
            path => Self::File(path.into()),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::File(path) | Self::Pipe(path) => path.display().to_string(),
            Self::Stdin | Self::Spooled(_) => "standard input".to_owned(),
        }
    }

    /// Rejects devices: they may never end and can't be read twice.
    fn check(&self) -> io::Result<()> {
        let Self::File(path) = self else { return Ok(()) };
        let kind = fs::metadata(path)?.file_type();
        if kind.is_char_device() || kind.is_block_device() {
            return Err(io::Error::other("it is a device; use a file, a pipe, or - for standard input"));
        }
        Ok(())
    }

    fn is_read_once(&self) -> bool {
        matches!(self, Self::Stdin | Self::Pipe(_))
    }

    fn open(&self) -> io::Result<Box<dyn Read>> {
        match self {
            Self::File(path) | Self::Pipe(path) => Ok(Box::new(File::open(path)?)),
            Self::Stdin => Ok(Box::new(io::stdin().lock())),
            Self::Spooled(file) => Ok(Box::new(file.reopen()?)),
        }
    }

    fn spooled(self) -> io::Result<Self> {
        if !self.is_read_once() {
            return Ok(self);
        }
        let mut file = NamedTempFile::new()?;
        io::copy(&mut self.open()?, &mut file)?;
        Ok(Self::Spooled(file))
    }
}

impl RowSource {
    /// Checks that the source can be read and is UTF-8. With `twice`, a source that can be read
    /// only once is copied to a temporary file.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] with the flag that names the source.
    pub(crate) fn scan(self, twice: bool) -> Result<ScannedSource, InvalidInput> {
        let flag = self.flag();
        if let Some(file) = self.file() {
            file.check().map_err(|error| unreadable(flag, file, &error))?;
        }
        let source =
            if twice { self.spooled().map_err(|error| InvalidInput::new(flag, error.to_string()))? } else { self };
        let hash = match &source {
            Self::Csv(file) | Self::Jsonl { file, .. } => hash_utf8(flag, file)?,
            Self::Addresses(addresses) => addresses.iter().map(|address| format!("{address}\n")).collect(),
        };
        if let Self::Jsonl { file, format } = &source
            && !file.is_read_once()
        {
            jsonl::check_structure(file.open().map_err(|error| unreadable(flag, file, &error))?, *format)?;
        }
        Ok(ScannedSource { source, hash })
    }

    pub(crate) fn is_stdin(&self) -> bool {
        matches!(self, Self::Csv(InputFile::Stdin) | Self::Jsonl { file: InputFile::Stdin, .. })
    }

    fn file(&self) -> Option<&InputFile> {
        match self {
            Self::Csv(file) | Self::Jsonl { file, .. } => Some(file),
            Self::Addresses(_) => None,
        }
    }

    fn flag(&self) -> &'static str {
        match self {
            Self::Csv(_) => "--csv",
            Self::Jsonl { .. } => "--jsonl",
            Self::Addresses(_) => "--to",
        }
    }

    fn spooled(self) -> io::Result<Self> {
        Ok(match self {
            Self::Csv(file) => Self::Csv(file.spooled()?),
            Self::Jsonl { file, format } => Self::Jsonl { file: file.spooled()?, format },
            Self::Addresses(addresses) => Self::Addresses(addresses),
        })
    }
}

impl ScannedSource {
    /// Returns an iterator that starts at the first row.
    pub(crate) fn rows(&self) -> Result<Rows, InvalidInput> {
        let flag = self.source.flag();
        let open = |file: &InputFile| file.open().map_err(|error| unreadable(flag, file, &error));
        match &self.source {
            RowSource::Csv(file) => csv::open(&file.name(), open(file)?),
            RowSource::Jsonl { file, format } => jsonl::open(open(file)?, *format),
            RowSource::Addresses(addresses) => Ok(from_addresses(addresses)),
        }
    }

    /// Name of the source in messages.
    pub(crate) fn name(&self) -> String {
        match &self.source {
            RowSource::Csv(file) | RowSource::Jsonl { file, .. } => file.name(),
            RowSource::Addresses(_) => "--to".to_owned(),
        }
    }
}

fn unreadable(flag: &str, file: &InputFile, error: &io::Error) -> InvalidInput {
    InvalidInput::new(flag, format!("{} can't be read: {error}", file.name()))
}

/// Checks that the file is UTF-8 and returns its hash, in constant memory. A stream that can be
/// read only once is not checked; its hash is empty.
fn hash_utf8(flag: &str, file: &InputFile) -> Result<String, InvalidInput> {
    if file.is_read_once() {
        return Ok(String::new());
    }
    let mut input = file.open().map_err(|error| unreadable(flag, file, &error))?;
    let (mut hash, mut text) = (Sha256::new(), Utf8Check::default());
    let mut block = vec![0; 1 << 16];
    loop {
        let read = input.read(&mut block).map_err(|error| unreadable(flag, file, &error))?;
        hash.update(&block[..read]);
        let checked = if read == 0 { text.end() } else { text.add(&block[..read]) };
        checked.map_err(|line| InvalidInput::new(flag, format!("{} is not UTF-8, line {line}", file.name())))?;
        if read == 0 {
            return Ok(format!("{:x}", hash.finalize()));
        }
    }
}

/// Checks UTF-8 text in blocks; a character may span two of them.
#[derive(Default)]
struct Utf8Check {
    lines: usize,
    rest: Vec<u8>,
}

impl Utf8Check {
    fn add(&mut self, block: &[u8]) -> Result<(), usize> {
        self.rest.extend_from_slice(block);
        let (valid, broken) = match std::str::from_utf8(&self.rest) {
            Ok(text) => (text.len(), false),
            Err(error) => (error.valid_up_to(), error.error_len().is_some()),
        };
        self.lines += self.rest[..valid].iter().filter(|byte| **byte == b'\n').count();
        self.rest.drain(..valid);
        if broken { Err(self.lines + 1) } else { Ok(()) }
    }

    fn end(&self) -> Result<(), usize> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.lines + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::Utf8Check;

    fn check(blocks: &[&[u8]]) -> Result<(), usize> {
        let mut text = Utf8Check::default();
        blocks.iter().try_for_each(|block| text.add(block))?;
        text.end()
    }

    #[test]
    fn a_character_may_span_blocks() {
        assert_eq!(check(&[b"a\n\xc5", b"\xbb\nb"]), Ok(()));
        assert_eq!(check(&[b"a\n\xf0\x9f", b"\x8e", b"\x89"]), Ok(()));
        assert_eq!(check(&[b"a\n\xc5", b"b"]), Err(2));
        assert_eq!(check(&[b"a\nb\nc\xff"]), Err(3));
        assert_eq!(check(&[b"a\n\xc5"]), Err(2));
    }
}

//! Where rows come from: a file, standard input, the command line.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::FileTypeExt,
    path::PathBuf,
};

use postroom_core::{InvalidInput, Mailbox};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::{Rows, csv, jsonl, of_addresses};
use crate::fingerprint;

/// What the rows are, and where.
#[derive(Debug)]
pub(crate) enum Source {
    /// A CSV with a header.
    Csv(Place),
    /// JSON lines.
    Jsonl {
        /// Where.
        place: Place,
        /// What a row is.
        kind: jsonl::Kind,
    },
    /// Addresses.
    Addresses(Vec<Mailbox>),
}

/// A file, or what can be read only once.
#[derive(Debug)]
pub(crate) enum Place {
    File(PathBuf),
    Stdin,
    /// A named pipe, or one of the shell's: `<(command)`.
    Pipe(PathBuf),
    /// What came from a pipe or standard input, put into a file so that it can be read twice.
    Spooled(NamedTempFile),
}

/// A source that was looked over.
#[derive(Debug)]
pub(crate) struct Input {
    source: Source,
    /// The hash of its content, where it can be read more than once.
    pub(crate) hash: String,
}

impl Place {
    /// A path, or `-`.
    pub(crate) fn of(path: &str) -> Self {
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

    /// A device may never end, and can't be read twice.
    fn check(&self) -> io::Result<()> {
        let Self::File(path) = self else { return Ok(()) };
        let kind = fs::metadata(path)?.file_type();
        if kind.is_char_device() || kind.is_block_device() {
            return Err(io::Error::other("it is a device; it may be a file, a pipe, or - for standard input"));
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

impl Source {
    /// What can be read only once is put into a file where it is needed `twice`.
    pub(crate) fn look_over(self, twice: bool) -> Result<Input, InvalidInput> {
        let flag = self.flag();
        if let Some(place) = self.place() {
            place.check().map_err(|error| unreadable(flag, place, &error))?;
        }
        let source =
            if twice { self.spooled().map_err(|error| InvalidInput::new(flag, error.to_string()))? } else { self };
        let hash = match &source {
            Self::Csv(place) | Self::Jsonl { place, .. } => survey(flag, place)?,
            Self::Addresses(addresses) => addresses.iter().map(|address| format!("{address}\n")).collect(),
        };
        Ok(Input { source, hash })
    }

    pub(crate) fn is_stdin(&self) -> bool {
        matches!(self, Self::Csv(Place::Stdin) | Self::Jsonl { place: Place::Stdin, .. })
    }

    fn place(&self) -> Option<&Place> {
        match self {
            Self::Csv(place) | Self::Jsonl { place, .. } => Some(place),
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
            Self::Csv(place) => Self::Csv(place.spooled()?),
            Self::Jsonl { place, kind } => Self::Jsonl { place: place.spooled()?, kind },
            Self::Addresses(addresses) => Self::Addresses(addresses),
        })
    }
}

impl Input {
    /// The rows, from the first on.
    pub(crate) fn rows(&self) -> Result<Rows, InvalidInput> {
        let flag = self.source.flag();
        let open = |place: &Place| place.open().map_err(|error| unreadable(flag, place, &error));
        match &self.source {
            Source::Csv(place) => csv::open(&place.name(), open(place)?),
            Source::Jsonl { place, kind } => Ok(jsonl::open(open(place)?, *kind)),
            Source::Addresses(addresses) => Ok(of_addresses(addresses)),
        }
    }

    /// Its name for people.
    pub(crate) fn name(&self) -> String {
        match &self.source {
            Source::Csv(place) | Source::Jsonl { place, .. } => place.name(),
            Source::Addresses(_) => "--to".to_owned(),
        }
    }
}

fn unreadable(flag: &str, place: &Place, error: &io::Error) -> InvalidInput {
    InvalidInput::new(flag, format!("{} can't be read: {error}", place.name()))
}

/// Reads all of it once, in constant memory: that it is UTF-8 to its end, and its hash. What is read only once can't be.
fn survey(flag: &str, place: &Place) -> Result<String, InvalidInput> {
    if place.is_read_once() {
        return Ok(String::new());
    }
    let mut file = place.open().map_err(|error| unreadable(flag, place, &error))?;
    let (mut hash, mut text) = (Sha256::new(), Utf8::default());
    let mut block = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut block).map_err(|error| unreadable(flag, place, &error))?;
        hash.update(&block[..read]);
        let sound = if read == 0 { text.end() } else { text.add(&block[..read]) };
        sound.map_err(|line| InvalidInput::new(flag, format!("{} is not UTF-8, line {line}", place.name())))?;
        if read == 0 {
            return Ok(fingerprint::hex(hash));
        }
    }
}

/// Checks text that comes in blocks; a character may lie across two.
#[derive(Default)]
struct Utf8 {
    lines: usize,
    rest: Vec<u8>,
}

impl Utf8 {
    fn add(&mut self, block: &[u8]) -> Result<(), usize> {
        self.rest.extend_from_slice(block);
        let (sound, broken) = match std::str::from_utf8(&self.rest) {
            Ok(text) => (text.len(), false),
            Err(error) => (error.valid_up_to(), error.error_len().is_some()),
        };
        self.lines += self.rest[..sound].iter().filter(|byte| **byte == b'\n').count();
        self.rest.drain(..sound);
        if broken { Err(self.lines + 1) } else { Ok(()) }
    }

    fn end(&self) -> Result<(), usize> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.lines + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::Utf8;

    fn check(blocks: &[&[u8]]) -> Result<(), usize> {
        let mut text = Utf8::default();
        blocks.iter().try_for_each(|block| text.add(block))?;
        text.end()
    }

    #[test]
    fn a_character_may_lie_across_blocks() {
        assert_eq!(check(&[b"a\n\xc5", b"\xbb\nb"]), Ok(()));
        assert_eq!(check(&[b"a\n\xf0\x9f", b"\x8e", b"\x89"]), Ok(()));
        assert_eq!(check(&[b"a\n\xc5", b"b"]), Err(2));
        assert_eq!(check(&[b"a\nb\nc\xff"]), Err(3));
        assert_eq!(check(&[b"a\n\xc5"]), Err(2));
    }
}

//! Sources of rows: a file, standard input, the command line.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::FileTypeExt,
    path::PathBuf,
};

use postroom_core::{InvalidInput, Mailbox};
use tempfile::NamedTempFile;

use super::{
    csv::{self, CsvHeader, CsvRowFormat, QuoteCheck},
    encoding::Utf8Reader,
    encoding_guess,
    jsonl::{self, JsonRowFormat},
    row::{Rows, from_addresses},
    survey::{NotUtf8, SurveyFault, survey},
};

/// Format and location of the rows.
#[derive(Debug)]
pub(crate) enum RowSource {
    /// A CSV file with a header.
    Csv { file: InputFile, format: CsvRowFormat },
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
    Spooled {
        file: NamedTempFile,
        name: String,
    },
}

/// A source that can be read, and in which one look found no fault.
#[derive(Debug)]
pub(crate) struct ScannedSource {
    source: SurveyedSource,
    /// Hash of the content; empty if it can be read only once.
    pub(crate) hash: String,
}

#[derive(Debug)]
enum SurveyedSource {
    Csv { file: InputFile, header: CsvHeader },
    Jsonl { file: InputFile, format: JsonRowFormat },
    Addresses(Vec<Mailbox>),
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
            Self::Stdin => "standard input".to_owned(),
            Self::Spooled { name, .. } => name.clone(),
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
            Self::Spooled { file, .. } => Ok(Box::new(file.reopen()?)),
        }
    }

    /// Opens the text in UTF-8 without a byte order mark.
    fn open_text(&self) -> io::Result<Utf8Reader<Box<dyn Read>>> {
        self.open().map(Utf8Reader::new)
    }

    fn spooled(self) -> io::Result<Self> {
        if !self.is_read_once() {
            return Ok(self);
        }
        let mut file = NamedTempFile::new()?;
        io::copy(&mut self.open()?, &mut file)?;
        Ok(Self::Spooled { file, name: self.name() })
    }

    /// Looks over the whole file once, in constant memory; returns its hash. A stream that can be
    /// read only once is not read; its hash is empty.
    fn survey(&self, is_csv: bool, quotes: Option<QuoteCheck>) -> Result<String, String> {
        if self.is_read_once() {
            return Ok(String::new());
        }
        let name = self.name();
        let input = self.open().map_err(|error| format!("{name} can't be read: {error}"))?;
        survey(input, is_csv, quotes).map_err(|fault| match fault {
            SurveyFault::Read(error) => format!("{name} can't be read: {error}"),
            SurveyFault::Quotes(problem) => format!("{name}, {}: {}", problem.lines, problem.problem),
            SurveyFault::Encoding(found) => self.foreign(found),
        })
    }

    /// Describes a file that is no text in UTF-8.
    fn foreign(&self, found: NotUtf8) -> String {
        let path = if let Self::File(path) = self { Some(path.as_path()) } else { None };
        match encoding_guess::describe(|| self.open(), found, path) {
            Ok(problem) => format!("{} {problem}", self.name()),
            Err(error) => format!("{} is not UTF-8, line {}; it can't be read again: {error}", self.name(), found.line),
        }
    }
}

impl RowSource {
    /// Looks over the source once before any row is used: encoding, and a CSV's header and quotes.
    /// A CSV that can be read only once is copied to a temporary file, and with `twice` any source.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] with the flag that names the source.
    pub(crate) fn scan(self, twice: bool) -> Result<ScannedSource, InvalidInput> {
        match self {
            Self::Csv { file, format } => {
                scan_csv(file, &format).map_err(|problem| InvalidInput::new("--csv", problem))
            }
            Self::Jsonl { file, format } => scan_jsonl(file, format, twice),
            Self::Addresses(addresses) => {
                let hash = addresses.iter().map(|address| format!("{address}\n")).collect();
                Ok(ScannedSource { source: SurveyedSource::Addresses(addresses), hash })
            }
        }
    }

    pub(crate) fn is_stdin(&self) -> bool {
        matches!(self, Self::Csv { file: InputFile::Stdin, .. } | Self::Jsonl { file: InputFile::Stdin, .. })
    }
}

fn scan_csv(file: InputFile, format: &CsvRowFormat) -> Result<ScannedSource, String> {
    let file = readable(file, true)?;
    let header = CsvHeader::read(format, || file.open_text());
    // If the header can't be used, its delimiter may be wrong, and then the quotes mean nothing.
    let quotes = header.as_ref().ok().map(|header| QuoteCheck::new(header.delimiter()));
    let hash = file.survey(true, quotes)?;
    let header = header.map_err(|problem| format!("{} {problem}", file.name()))?;
    let hash = hash + &format.fingerprint();
    Ok(ScannedSource { source: SurveyedSource::Csv { file, header }, hash })
}

fn scan_jsonl(file: InputFile, format: JsonRowFormat, twice: bool) -> Result<ScannedSource, InvalidInput> {
    let refuse = |problem: String| InvalidInput::new("--jsonl", problem);
    let file = readable(file, twice).map_err(refuse)?;
    let hash = file.survey(false, None).map_err(refuse)?;
    if !file.is_read_once() {
        let input = file.open_text().map_err(|error| refuse(format!("{} can't be read: {error}", file.name())))?;
        jsonl::check_structure(input, format)?;
    }
    Ok(ScannedSource { source: SurveyedSource::Jsonl { file, format }, hash })
}

/// Checks that the file can be read. With `twice`, a stream is copied.
fn readable(file: InputFile, twice: bool) -> Result<InputFile, String> {
    let name = file.name();
    file.check().map_err(|error| format!("{name} can't be read: {error}"))?;
    if !twice {
        return Ok(file);
    }
    let folder = std::env::temp_dir();
    file.spooled()
        .map_err(|error| format!("{name} can't be copied to a temporary file in {}: {error}", folder.display()))
}

impl ScannedSource {
    /// Returns an iterator that starts at the first row.
    pub(crate) fn rows(&self) -> Result<Rows, InvalidInput> {
        let open = |flag: &str, file: &InputFile| {
            file.open_text().map_err(|error| InvalidInput::new(flag, format!("{} can't be read: {error}", file.name())))
        };
        match &self.source {
            SurveyedSource::Csv { file, header } => csv::open(header, open("--csv", file)?),
            SurveyedSource::Jsonl { file, format } => jsonl::open(open("--jsonl", file)?, *format),
            SurveyedSource::Addresses(addresses) => Ok(from_addresses(addresses)),
        }
    }

    /// Name of the source in messages.
    pub(crate) fn name(&self) -> String {
        match &self.source {
            SurveyedSource::Csv { file, .. } | SurveyedSource::Jsonl { file, .. } => file.name(),
            SurveyedSource::Addresses(_) => "--to".to_owned(),
        }
    }
}

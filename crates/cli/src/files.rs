//! Reads small files into memory. Errors name the flag and the file.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    path::{Path, PathBuf},
};

use postroom_core::{InvalidInput, MediaType, read_at_most, read_file};
use postroom_enqueue::Attachment;

/// Reads a text file of at most `limit` bytes, or standard input for `-`.
pub(crate) fn text(flag: &str, path: &str, limit: u64) -> Result<String, InvalidInput> {
    let invalid = |why: String| InvalidInput::new(flag, format!("{path} {why}"));
    let read = if path == "-" { read_at_most(io::stdin().lock(), limit) } else { read_file(path, limit) };
    let bytes = read.map_err(|error| invalid(format!("can't be read: {error}")))?;
    String::from_utf8(bytes).map_err(|_| invalid("is not UTF-8".to_owned()))
}

/// The value of a flag that takes a text, or `@` and the path of a file. `@@` begins a text with
/// one `@`.
pub(crate) enum TextSource<'a> {
    Text(&'a str),
    File(&'a str),
}

impl<'a> TextSource<'a> {
    pub(crate) fn parse(value: &'a str) -> Self {
        match value.strip_prefix('@') {
            Some(text) if text.starts_with('@') => Self::Text(text),
            Some(path) => Self::File(path),
            None => Self::Text(value),
        }
    }

    pub(crate) fn is_stdin(&self) -> bool {
        matches!(self, Self::File("-"))
    }

    pub(crate) fn read(&self, flag: &str, limit: u64) -> Result<String, InvalidInput> {
        match self {
            Self::Text(text) => Ok((*text).to_owned()),
            Self::File(path) => text(flag, path, limit),
        }
    }
}

/// The value of `--attach`: a file, and its MIME type if one is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttachSource {
    path: PathBuf,
    content_type: Option<String>,
}

impl AttachSource {
    /// Parses `FILE` or `FILE;type=TYPE` for clap. The last `;type=` counts, so a file with that in
    /// its name needs another one, which may be empty.
    pub(crate) fn parse(value: OsString) -> Result<Self, String> {
        let Some((path, media_type)) = value.to_str().and_then(|text| text.rsplit_once(";type=")) else {
            return Ok(Self { path: value.into(), content_type: None });
        };
        if !media_type.is_empty() && MediaType::parse(media_type).is_none() {
            return Err(format!("{media_type:?} is not a MIME type; it may be text/calendar, for example"));
        }
        Ok(Self { path: path.into(), content_type: (!media_type.is_empty()).then(|| media_type.to_owned()) })
    }

    /// Reads the file, at most `max_size` bytes: a device or a pipe may never end.
    pub(crate) fn read(&self, max_size: u64) -> Result<Attachment, InvalidInput> {
        Ok(Attachment { content_type: self.content_type.clone(), ..attachment(&self.path, max_size)? })
    }
}

fn attachment(path: &Path, max_size: u64) -> Result<Attachment, InvalidInput> {
    let invalid = |why: String| InvalidInput::new("--attach", format!("{} {why}", path.display()));
    let unreadable = |error: io::Error| invalid(format!("can't be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let too_large = |size: &str| invalid(format!("has {size} bytes; a message may have {max_size} (MAX_MESSAGE_SIZE)"));
    if size > max_size {
        return Err(too_large(&size.to_string()));
    }
    let content = read_at_most(file, max_size).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => too_large(&format!("more than {max_size}")),
        _ => unreadable(error),
    })?;
    let name = path.file_name().and_then(OsStr::to_str);
    let filename = name.ok_or_else(|| invalid("has a name that is not UTF-8".to_owned()))?.to_owned();
    Ok(Attachment { filename, content_type: None, content_id: None, content: content.into() })
}

#[cfg(test)]
mod tests {
    use super::{AttachSource, TextSource};

    #[test]
    fn a_type_follows_the_last_mark() {
        for (value, path, content_type) in [
            ("a.pdf", "a.pdf", None),
            ("a;b.pdf", "a;b.pdf", None),
            ("a.ics;type=text/calendar", "a.ics", Some("text/calendar")),
            ("a.ics;type=text/calendar; method=REQUEST", "a.ics", Some("text/calendar; method=REQUEST")),
            ("a;type=b.pdf;type=application/pdf", "a;type=b.pdf", Some("application/pdf")),
            ("a;type=b.pdf;type=", "a;type=b.pdf", None),
        ] {
            let expected = AttachSource { path: path.into(), content_type: content_type.map(str::to_owned) };
            assert_eq!(AttachSource::parse(value.into()), Ok(expected), "{value}");
        }
        for value in ["a;type=text/", "a;type=foo", "a;type=multipart/mixed", "a;type=text/plain;x"] {
            let error = AttachSource::parse(value.into()).expect_err(value);
            assert!(error.contains("is not a MIME type; it may be text/calendar"), "{error}");
        }
    }

    #[test]
    fn one_at_sign_names_a_file_and_two_escape_it() {
        for (value, text, path) in [
            ("hello", Some("hello"), None),
            ("", Some(""), None),
            ("@hello.txt", None, Some("hello.txt")),
            ("@@hello", Some("@hello"), None),
            ("@@", Some("@"), None),
            ("@@@x", Some("@@x"), None),
            ("a@b", Some("a@b"), None),
            ("@", None, Some("")),
        ] {
            match TextSource::parse(value) {
                TextSource::Text(found) => assert_eq!((Some(found), None), (text, path), "{value}"),
                TextSource::File(found) => assert_eq!((None, Some(found)), (text, path), "{value}"),
            }
        }
        assert!(TextSource::parse("@-").is_stdin() && !TextSource::parse("-").is_stdin());
    }
}

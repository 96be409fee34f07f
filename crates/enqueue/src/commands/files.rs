//! Small files that are read whole; the problem names the flag and the file.

use std::{fs::File, io, path::Path};

use postroom_core::{InvalidInput, read_at_most, read_file};

use crate::Attachment;

/// A text file of at most so many bytes, or standard input for `-`.
pub(crate) fn text(flag: &str, path: &str, limit: u64) -> Result<String, InvalidInput> {
    let refuse = |why: String| InvalidInput::new(flag, format!("{path} {why}"));
    let read = if path == "-" { read_at_most(io::stdin().lock(), limit) } else { read_file(path, limit) };
    let bytes = read.map_err(|error| refuse(format!("can't be read: {error}")))?;
    String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8".to_owned()))
}

/// A text that a flag gives: itself, or, after an `@`, the path of a file. `@@` stands for an `@` of its own.
pub(crate) enum Given<'a> {
    Text(&'a str),
    File(&'a str),
}

impl<'a> Given<'a> {
    pub(crate) fn of(value: &'a str) -> Self {
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

/// A file to attach. No more of it is read than could be sent; a device or a pipe may never end.
pub(crate) fn attachment(path: &Path, max_size: u64) -> Result<Attachment, InvalidInput> {
    let refuse = |why: String| InvalidInput::new("--attach", format!("{} {why}", path.display()));
    let unreadable = |error: io::Error| refuse(format!("can't be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let too_large = |size: &str| refuse(format!("has {size} bytes; a message may have {max_size} (MAX_MESSAGE_SIZE)"));
    if size > max_size {
        return Err(too_large(&size.to_string()));
    }
    let content = read_at_most(file, max_size).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => too_large(&format!("more than {max_size}")),
        _ => unreadable(error),
    })?;
    let name = path.file_name().and_then(|name| name.to_str());
    let filename = name.ok_or_else(|| refuse("has no name that is UTF-8".to_owned()))?.to_owned();
    Ok(Attachment { filename, content_type: None, content_id: None, content: content.into() })
}

#[cfg(test)]
mod tests {
    use super::Given;

    #[test]
    fn an_at_is_a_file_and_two_are_an_at() {
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
            match Given::of(value) {
                Given::Text(found) => assert_eq!((Some(found), None), (text, path), "{value}"),
                Given::File(found) => assert_eq!((None, Some(found)), (text, path), "{value}"),
            }
        }
        assert!(Given::of("@-").is_stdin() && !Given::of("-").is_stdin());
    }
}

//! Small files that are read whole; the problem names the flag and the file.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use postroom_core::InvalidInput;

use crate::Attachment;

/// A text file, or standard input for `-`.
pub(crate) fn text(flag: &str, path: &str) -> Result<String, InvalidInput> {
    let refuse = |why: String| InvalidInput::new(flag, format!("{path} {why}"));
    let mut bytes = Vec::new();
    let read = if path == "-" {
        io::stdin().lock().read_to_end(&mut bytes).map(|_| ())
    } else {
        fs::read(path).map(|read| bytes = read)
    };
    read.map_err(|error| refuse(format!("can't be read: {error}")))?;
    String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8".to_owned()))
}

/// What a flag says: the text itself, or the content of the file after an `@`.
pub(crate) fn text_or_file(flag: &str, value: &str) -> Result<String, InvalidInput> {
    match value.strip_prefix('@') {
        Some(path) => text(flag, path),
        None => Ok(value.to_owned()),
    }
}

/// A file to attach; one that could never be sent is not read.
pub(crate) fn attachment(path: &Path, max_size: u64) -> Result<Attachment, InvalidInput> {
    let refuse = |why: String| InvalidInput::new("--attach", format!("{} {why}", path.display()));
    let size = fs::metadata(path).map_err(|error| refuse(format!("can't be read: {error}")))?.len();
    if size > max_size {
        return Err(refuse(format!("has {size} bytes; a message may have {max_size} (MAX_MESSAGE_SIZE)")));
    }
    let content = fs::read(path).map_err(|error| refuse(format!("can't be read: {error}")))?;
    let name = path.file_name().and_then(|name| name.to_str());
    let filename = name.ok_or_else(|| refuse("has no name that is UTF-8".to_owned()))?.to_owned();
    Ok(Attachment { filename, content_type: None, content_id: None, content: content.into() })
}

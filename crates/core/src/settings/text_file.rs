//! Text files of settings and secrets.

use std::path::Path;

use crate::{InvalidInput, SETTINGS_FILE, read_file};

/// Reads a text file; errors name the path.
pub(super) fn read_text(path: impl AsRef<Path>) -> Result<String, InvalidInput> {
    let path = path.as_ref();
    let shown = path.display().to_string();
    let bytes = read_file(path, SETTINGS_FILE)
        .map_err(|error| InvalidInput::new(&shown, format!("{shown} can't be read: {error}")))?;
    String::from_utf8(bytes).map_err(|_| InvalidInput::new(&shown, format!("{shown} is not UTF-8")))
}

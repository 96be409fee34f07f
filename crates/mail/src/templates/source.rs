//! Files of the templates folder.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use postroom_core::{SETTINGS_FILE, read_file};

use super::LoadError;

/// The text of each `.html` and `.txt` file, by its path in the folder with `/` between the parts.
pub(super) type Sources = BTreeMap<String, String>;

/// What the folder looks like from outside: it changes when a file does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Vec<(PathBuf, u64, Option<SystemTime>)>);

pub(super) fn read(folder: &Path) -> Result<Sources, LoadError> {
    let mut sources = Sources::new();
    for path in files(folder)? {
        let bytes = read_file(&path, SETTINGS_FILE).map_err(|error| LoadError::unreadable(&path, error))?;
        let text = String::from_utf8(bytes).map_err(|_| LoadError::unreadable(&path, "it is not UTF-8"))?;
        let name = name_of(folder, &path).ok_or_else(|| LoadError::unreadable(&path, "its name is not UTF-8"))?;
        // Windows editors; a mark at the start would end up in a subject.
        sources.insert(name, text.trim_start_matches('\u{feff}').to_owned());
    }
    Ok(sources)
}

impl Stamp {
    pub(super) fn of(folder: &Path) -> Result<Self, LoadError> {
        let stamped = files(folder)?.into_iter().map(|path| {
            let meta = fs::metadata(&path);
            let modified = meta.as_ref().ok().and_then(|meta| meta.modified().ok());
            (path, meta.map_or(0, |meta| meta.len()), modified)
        });
        Ok(Self(stamped.collect()))
    }
}

/// All `.html` and `.txt` files in the folder and its folders, sorted. Hidden ones are an editor's.
fn files(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let mut found = Vec::new();
    // Whoever sends plain mail only needs no folder; it is taken in when it appears.
    if !folder.exists() {
        return Ok(found);
    }
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        let unreadable = |error| LoadError::unreadable(&folder, error);
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if is_hidden(&path) {
                continue;
            } else if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|ext| ext == "html" || ext == "txt") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn name_of(folder: &Path, path: &Path) -> Option<String> {
    let parts = path.strip_prefix(folder).ok()?.components().map(|part| part.as_os_str().to_str());
    parts.collect::<Option<Vec<_>>>().map(|parts| parts.join("/"))
}

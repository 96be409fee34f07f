//! Reading of the templates folder.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::Read,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::LoadError;

/// Text of each `.html` and `.txt` file, and of each `headers.toml`, by its path in the folder,
/// with `/` as separator.
pub(super) type TemplateSources = BTreeMap<String, String>;

/// Maximum size of one file, and of all files, in bytes.
const MOST_BYTES: u64 = 2 << 20;
const MOST_BYTES_IN_ALL: usize = 16 << 20;
/// Maximum number of files and folders of any kind.
const MOST_ENTRIES: usize = 10_000;

/// Paths, sizes and modification times; differs whenever a file has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Vec<(PathBuf, u64, Option<SystemTime>)>);

pub(super) fn read(folder: &Path) -> Result<TemplateSources, LoadError> {
    let (mut sources, mut bytes) = (TemplateSources::new(), 0);
    for path in files(folder)? {
        let text = read_file(&path)?;
        bytes += text.len();
        if bytes > MOST_BYTES_IN_ALL {
            let most = MOST_BYTES_IN_ALL >> 20;
            return Err(LoadError::endless(folder, format!("its files have more than {most} MB in total")));
        }
        let name = name_of(folder, &path).ok_or_else(|| LoadError::unreadable(&path, "its name is not UTF-8"))?;
        // Windows editors write a byte order mark, which would appear in the subject.
        sources.insert(name, text.trim_start_matches('\u{feff}').to_owned());
    }
    Ok(sources)
}

fn read_file(path: &Path) -> Result<String, LoadError> {
    let unreadable = |error| LoadError::unreadable(path, error);
    // Reading a pipe would block; reading a device might never end.
    if !fs::metadata(path).is_ok_and(|meta| meta.is_file() || meta.is_dir()) && path.exists() {
        return Err(LoadError::unreadable(path, "it is not a regular file"));
    }
    let mut text = String::new();
    File::open(path).map_err(unreadable)?.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(LoadError::endless(path, format!("it has more than {} MB", MOST_BYTES >> 20)));
    }
    Ok(text)
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

/// All files of templates below the folder, sorted. Hidden files are skipped, since editors
/// create them.
fn files(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    // The folder is optional for plain mail; it is loaded as soon as it exists.
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut walk = Walk { entries: 0, found: Vec::new(), open: Vec::new() };
    walk.folder(folder)?;
    walk.found.sort();
    Ok(walk.found)
}

/// State of a recursive directory walk.
struct Walk {
    entries: usize,
    found: Vec<PathBuf>,
    /// Canonical paths of the folders being walked.
    open: Vec<PathBuf>,
}

impl Walk {
    fn folder(&mut self, folder: &Path) -> Result<(), LoadError> {
        let unreadable = |error| LoadError::unreadable(folder, error);
        let real = fs::canonicalize(folder).map_err(unreadable)?;
        if self.open.contains(&real) {
            let problem = format!("it is a symbolic link to {}, which contains it", real.display());
            return Err(LoadError::endless(folder, problem));
        }
        self.open.push(real);
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            self.entry(entry.map_err(unreadable)?.path())?;
        }
        self.open.pop();
        Ok(())
    }

    fn entry(&mut self, path: PathBuf) -> Result<(), LoadError> {
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return Err(LoadError::endless(path, format!("the folder has more than {MOST_ENTRIES} files and folders")));
        }
        if is_hidden(&path) {
            return Ok(());
        }
        if fs::metadata(&path).as_ref().is_ok_and(Metadata::is_dir) {
            return self.folder(&path);
        }
        if path.extension().is_some_and(|ext| ext == "html" || ext == "txt") || is_headers(&path) {
            self.found.push(path);
        }
        Ok(())
    }
}

/// Whether a file is `headers.toml`, or that of a language such as `headers.pl.toml`.
fn is_headers(path: &Path) -> bool {
    let name = path.file_name().map_or(&[][..], |name| name.as_encoded_bytes());
    name.starts_with(b"headers.") && name.ends_with(b".toml")
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn name_of(folder: &Path, path: &Path) -> Option<String> {
    let parts = path.strip_prefix(folder).ok()?.components().map(|part| part.as_os_str().to_str());
    parts.collect::<Option<Vec<_>>>().map(|parts| parts.join("/"))
}

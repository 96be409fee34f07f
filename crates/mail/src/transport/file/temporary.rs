//! Temporary file that is renamed when it is complete.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// File under a hidden name, so that no reader sees an incomplete message. It is removed on drop
/// unless it was renamed: after an error, an abort, or when the attempt is cancelled.
#[derive(Debug)]
pub(super) struct TemporaryFile {
    folder: PathBuf,
    path: PathBuf,
    is_renamed: bool,
}

impl TemporaryFile {
    /// Writes and syncs a file that only its owner can read.
    ///
    /// # Errors
    ///
    /// Returns an error if the folder or the file can't be created, or the write fails.
    pub(super) fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(hidden(name));
        let mut output = for_the_owner().open(&path)?;
        let file = Self { folder: folder.to_owned(), path, is_renamed: false };
        output.write_all(bytes)?;
        output.sync_all()?;
        Ok(file)
    }

    /// Renames the file; an existing file of that name is replaced.
    ///
    /// # Errors
    ///
    /// Returns an error if the rename fails or the folder can't be synced.
    pub(super) fn rename_to(mut self, name: &str) -> io::Result<()> {
        fs::rename(&self.path, self.folder.join(name))?;
        self.is_renamed = true;
        sync_folder(&self.folder)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.is_renamed {
            // A file that can't be removed stays hidden.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn for_the_owner() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Syncs a folder, which stores the names of its files. Some file systems don't support that and
/// need no sync.
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

/// Returns a temporary name that is unique across processes.
fn hidden(name: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!(".{name}.{}-{}.part", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_that_is_not_renamed_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = TemporaryFile::write(folder.path(), "a.eml", b"x").expect("written");
        assert_eq!(names(folder.path()).len(), 1);
        drop(file);
        assert!(names(folder.path()).is_empty());
        TemporaryFile::write(folder.path(), "a.eml", b"x")
            .and_then(|file| file.rename_to("no/where.eml"))
            .expect_err("no folder");
        assert!(names(folder.path()).is_empty());
        for text in ["one", "another"] {
            let file = TemporaryFile::write(folder.path(), "a.eml", text.as_bytes()).expect("written");
            file.rename_to("a.eml").expect("in place");
            assert_eq!(fs::read_to_string(folder.path().join("a.eml")).expect("a file"), text);
        }
        assert_eq!(names(folder.path()), ["a.eml"]);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_a_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.eml");
        fs::write(&path, "as it was before").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("readable by all");
        TemporaryFile::write(folder.path(), "a.eml", b"x").and_then(|file| file.rename_to("a.eml")).expect("in place");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    }
}

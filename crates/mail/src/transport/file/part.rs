//! A file on its way to be whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// A file under a hidden name, so that nobody sees half of it. It is removed when this is dropped before it was put in place:
/// after an error, a refusal, or when the sending ends in its middle.
#[derive(Debug)]
pub(super) struct Part {
    folder: PathBuf,
    path: PathBuf,
    is_in_place: bool,
}

impl Part {
    /// Writes a whole file for its owner alone, and waits until the disk has it.
    ///
    /// # Errors
    /// The folder can't be made, the file can't be made, or the disk does not take all of it.
    pub(super) fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(hidden(name));
        let mut file = for_the_owner().open(&path)?;
        let part = Self { folder: folder.to_owned(), path, is_in_place: false };
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(part)
    }

    /// Gives it its name, in the place of a file that has it already.
    ///
    /// # Errors
    /// It is not known to be there for good.
    pub(super) fn put_in_place(mut self, name: &str) -> io::Result<()> {
        fs::rename(&self.path, self.folder.join(name))?;
        self.is_in_place = true;
        sync_folder(&self.folder)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_in_place {
            // What can't be removed stays hidden.
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

/// A new name is the folder's content. Some file systems keep it without being asked, and refuse the question.
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

/// Another one for each call in any process.
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
    fn what_is_not_put_in_place_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let part = Part::write(folder.path(), "a.eml", b"x").expect("written");
        assert_eq!(names(folder.path()).len(), 1);
        drop(part);
        assert!(names(folder.path()).is_empty());
        Part::write(folder.path(), "a.eml", b"x")
            .and_then(|part| part.put_in_place("no/where.eml"))
            .expect_err("no folder");
        assert!(names(folder.path()).is_empty());
        for text in ["one", "another"] {
            let part = Part::write(folder.path(), "a.eml", text.as_bytes()).expect("written");
            part.put_in_place("a.eml").expect("in place");
            assert_eq!(fs::read_to_string(folder.path().join("a.eml")).expect("a file"), text);
        }
        assert_eq!(names(folder.path()), ["a.eml"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_its_owner_s_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.eml");
        fs::write(&path, "as it was before").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("readable by all");
        Part::write(folder.path(), "a.eml", b"x").and_then(|part| part.put_in_place("a.eml")).expect("in place");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    }
}

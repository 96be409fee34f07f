//! A clock on the wall that a test sets for a program, by libfaketime.

use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// The time as some programs see it, which can be moved while they run. Only the clock on the wall is moved: what measures
/// durations goes on as it does when an administrator sets the clock.
#[derive(Debug)]
pub struct FakeClock {
    folder: TempDir,
}

impl FakeClock {
    /// A clock that is ahead (`+1h`) or behind (`-1h`) of the true time by so much.
    pub fn new(offset: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("postroom-clock-").tempdir();
        let clock = Self { folder: folder.expect("a temporary folder can be made") };
        clock.set(offset);
        clock
    }

    /// Moves it, for all programs that go by it.
    pub fn set(&self, offset: &str) {
        // Renamed into place: a program that reads it just now must not find it empty.
        let (file, draft) = (self.file(), self.folder.path().join("draft"));
        fs::write(&draft, format!("{offset}\n")).expect("a file can be written");
        fs::rename(&draft, file).expect("a file can be renamed");
    }

    /// The environment of a program that is to go by it.
    pub fn envs(&self) -> Vec<(String, String)> {
        let envs = [
            // With libc's allocator put before any other: jemalloc, which Debian's Redis uses, asks for the time before
            // libfaketime can answer.
            ("LD_PRELOAD", format!("{}:libc.so.6", library().display())),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            // Its name in older versions.
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        envs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }
}

/// Where distributions put it, and where `scripts/test` does.
fn library() -> PathBuf {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.postroom/tools/faketime");
    let machine = std::env::consts::ARCH;
    let folders = [
        own.to_owned(),
        format!("/usr/lib/{machine}-linux-gnu/faketime"),
        "/usr/lib64/faketime".to_owned(),
        "/usr/lib/faketime".to_owned(),
        "/usr/local/lib/faketime".to_owned(),
    ];
    let files = folders.iter().map(|folder| PathBuf::from(folder).join("libfaketimeMT.so.1"));
    let found = files.into_iter().find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("libfaketime is missing: run scripts/test, which installs it"))
}

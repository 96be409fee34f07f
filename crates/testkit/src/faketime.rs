//! Adjustable wall clock for child processes, based on libfaketime.

use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Wall clock of one or more programs, adjustable while they run.
///
/// The monotonic clock is not changed, as when an administrator sets the system time.
#[derive(Debug)]
pub struct FakeClock {
    folder: TempDir,
}

impl FakeClock {
    /// Creates a clock with an offset from the system time, such as `+1h` or `-1h`.
    pub fn new(offset: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("postroom-clock-").tempdir();
        let clock = Self { folder: folder.expect("a temporary folder can be made") };
        clock.set(offset);
        clock
    }

    /// Changes the offset for all programs that use this clock.
    pub fn set(&self, offset: &str) {
        // Rename, so that a concurrent reader never finds an empty file.
        let (file, draft) = (self.file(), self.folder.path().join("draft"));
        fs::write(&draft, format!("{offset}\n")).expect("a file can be written");
        fs::rename(&draft, file).expect("a file can be renamed");
    }

    /// Returns the environment variables that apply this clock to a program.
    pub fn envs(&self) -> Vec<(String, String)> {
        let envs = [
            // Also preload libc, so that its allocator replaces jemalloc. Debian's Redis uses
            // jemalloc, which reads the clock before libfaketime is initialised.
            ("LD_PRELOAD", format!("{}:libc.so.6", library().display())),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            // Name of this variable in older versions.
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        envs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }
}

/// Finds libfaketime where `scripts/test` or a distribution installs it.
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

//! The workspace's own programs, built when a test needs them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The path of one of the workspace's binaries in this build's target folder, up to date.
///
/// A test of one crate may need a sibling's binary, and cargo builds only its own: so this runs `cargo build` for it,
/// once in a test process, with the profile of the test itself. Where all was built in one go, as `scripts/test` does and
/// says by `POSTROOM_TEST_BINS=built`, there is nothing to do: alone, each would be built again for its own choice of
/// features in shared libraries.
pub fn target_bin(name: &str) -> PathBuf {
    once(name, || build(package(name), "--bin", name)).join(name)
}

/// The same for an example of this crate.
pub fn target_example(name: &str) -> PathBuf {
    once(name, || build(env!("CARGO_PKG_NAME"), "--example", name)).join("examples").join(name)
}

/// Builds what was not built yet, and returns the profile's folder.
fn once(name: &str, build: impl FnOnce()) -> PathBuf {
    static BUILT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if built.insert(name.to_owned()) && !std::env::var("POSTROOM_TEST_BINS").is_ok_and(|value| value == "built") {
        build();
    }
    profile_folder()
}

fn build(package: &str, kind: &str, name: &str) {
    let folder = profile_folder();
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--package", package, kind, name])
        .args(["--profile", profile(&folder)])
        .arg("--target-dir")
        .arg(folder.parent().expect("a profile's folder is in the target folder"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .status()
        .expect("cargo can be run");
    assert!(status.success(), "cargo can't build {name}: {status}");
}

/// The package a binary comes from: its namesake but for the command line.
fn package(bin: &str) -> &str {
    if bin == "postroom" { "postroom-cli" } else { bin }
}

/// `target/debug` or its like: a test runs from the folder `deps` in it, an example from `examples`.
fn profile_folder() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows its path");
    let mut folders = program.ancestors().skip_while(|path| !path.ends_with("deps") && !path.ends_with("examples"));
    folders.nth(1).expect("cargo runs tests from target/<profile>/deps").to_owned()
}

fn profile(folder: &Path) -> &str {
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => panic!("not a profile's folder: {}", folder.display()),
    }
}

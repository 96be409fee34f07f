//! Binaries of the workspace, built on demand for tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Returns the path of an up-to-date workspace binary in this build's target folder.
///
/// Cargo builds only the binaries of the tested crate. For a binary of another crate, this runs
/// `cargo build` once per test process, with the profile of the test.
///
/// `POSTROOM_TEST_BINS=built` skips that build. `scripts/test` sets it after it has built the whole
/// workspace. A separate build would select other features of shared libraries and compile again.
pub fn target_bin(name: &str) -> PathBuf {
    once(name, || build(package(name), "--bin", name)).join(name)
}

/// Returns the path of an up-to-date example of this crate.
pub fn target_example(name: &str) -> PathBuf {
    once(name, || build(env!("CARGO_PKG_NAME"), "--example", name)).join("examples").join(name)
}

/// Builds `name` unless this process already did, and returns the profile's folder.
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
        .arg(folder.parent().expect("the target folder contains the profile's folder"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .status()
        .expect("cargo can be run");
    assert!(status.success(), "cargo can't build {name}: {status}");
}

/// Returns the package of a binary. Only the command line's name differs from its package.
fn package(bin: &str) -> &str {
    if bin == "postroom" { "postroom-cli" } else { bin }
}

/// Returns the profile's folder, such as `target/debug`. Tests run from its subfolder `deps`,
/// examples from `examples`.
fn profile_folder() -> PathBuf {
    let program = std::env::current_exe().expect("the program has a path");
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

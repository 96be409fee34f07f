//! What a process reads by itself: its environment and the files of its working directory.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use super::assert_says;
use crate::Settings;

const CHILD: &str = "SETTINGS_TEST_CHILD";

/// What the tests below run as a process of its own; does nothing otherwise.
#[test]
fn tells_its_prefix() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    match Settings::load(&[]) {
        Ok(settings) => eprintln!("prefix={}.", settings.redis.prefix),
        Err(problem) => eprintln!("refused={problem}"),
    }
}

fn told(folder: &Path, env: &[(&str, &str)]) -> String {
    let Output { stderr, .. } = Command::new(std::env::current_exe().expect("this test's program"))
        .args(["--exact", "settings::tests::process::tells_its_prefix", "--nocapture"])
        .env_clear()
        .env(CHILD, "1")
        .envs(env.iter().copied())
        .current_dir(folder)
        .output()
        .expect("a child");
    String::from_utf8(stderr).expect("text")
}

#[test]
fn files_of_the_working_directory_and_the_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file");
    assert_says(&told(folder, &[]), &["prefix=postroom."]);
    write("postroom.toml", "prefix = 'toml'");
    assert_says(&told(folder, &[]), &["prefix=toml."]);
    write("other.toml", "prefix = 'other'");
    write(".env", "POSTROOM_CONFIG=other.toml");
    assert_says(&told(folder, &[]), &["prefix=other."]);
    assert_says(&told(folder, &[("POSTROOM_PREFIX", "env")]), &["prefix=env."]);
}

#[test]
fn a_named_file_has_to_exist_and_be_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let words = ["refused=POSTROOM_CONFIG: ", "nowhere.toml", "can't be read"];
    assert_says(&told(folder, &[("POSTROOM_CONFIG", "nowhere.toml")]), &words);
    fs::write(folder.join("a.toml"), "\n[queue]\nbulk = 3").expect("a file");
    assert_says(&told(folder, &[("POSTROOM_CONFIG", "a.toml")]), &["refused=a.toml, line 3"]);
    fs::write(folder.join("postroom.toml"), b"prefix = '\xff'").expect("a file");
    assert_says(&told(folder, &[]), &["refused=postroom.toml", "not UTF-8"]);
}

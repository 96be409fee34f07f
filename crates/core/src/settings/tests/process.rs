//! Tests of what a process reads itself: its environment and the files of its working directory.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use super::assert_says;
use crate::Settings;

const CHILD: &str = "SETTINGS_TEST_CHILD";

/// Child process of the tests below; does nothing otherwise.
#[test]
fn prints_its_prefix() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    match Settings::load(&[]) {
        Ok(settings) => eprintln!("prefix={}.", settings.redis.prefix),
        Err(problem) => eprintln!("refused={problem}"),
    }
}

fn output_of(folder: &Path, env: &[(&str, &str)]) -> String {
    let Output { stderr, .. } = Command::new(std::env::current_exe().expect("this test's program"))
        .args(["--exact", "settings::tests::process::prints_its_prefix", "--nocapture"])
        .env_clear()
        .env(CHILD, "1")
        .envs(env.iter().copied())
        .current_dir(folder)
        .output()
        .expect("a child");
    String::from_utf8(stderr).expect("text")
}

#[test]
fn files_of_the_working_directory_and_the_environment_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file");
    assert_says(&output_of(folder, &[]), &["prefix=postroom."]);
    write("postroom.toml", "prefix = 'toml'");
    assert_says(&output_of(folder, &[]), &["prefix=toml."]);
    write("other.toml", "prefix = 'other'");
    write(".env", "POSTROOM_CONFIG=other.toml");
    assert_says(&output_of(folder, &[]), &["prefix=other."]);
    assert_says(&output_of(folder, &[("POSTROOM_PREFIX", "env")]), &["prefix=env."]);
}

#[test]
fn a_named_file_must_exist_and_be_valid() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let words = ["refused=POSTROOM_CONFIG: ", "nowhere.toml", "can't be read"];
    assert_says(&output_of(folder, &[("POSTROOM_CONFIG", "nowhere.toml")]), &words);
    fs::write(folder.join("a.toml"), "\n[queue]\nbulk = 3").expect("a file");
    assert_says(&output_of(folder, &[("POSTROOM_CONFIG", "a.toml")]), &["refused=a.toml, line 3"]);
    fs::write(folder.join("postroom.toml"), b"prefix = '\xff'").expect("a file");
    assert_says(&output_of(folder, &[]), &["refused=postroom.toml", "not UTF-8"]);
}

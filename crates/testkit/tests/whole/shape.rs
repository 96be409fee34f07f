//! The shape of the repository: who may depend on whom, and how long a file may get.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::site::root;

const PROGRAMS: [&str; 4] = ["postroom-worker", "postroom-beat", "postroom-monitor", "postroom-cli"];

/// Beyond this a file has a second noun in it; the ones listed have a reason.
const LINES: usize = 400;
const LONG: [(&str, &str); 1] = [("crates/core/tests/it/model.rs", "one model, read from top to bottom")];

#[test]
fn only_core_knows_redis() {
    let users: Vec<String> =
        uses().into_iter().filter(|(_, used)| used.contains(&"redis".to_owned())).map(first).collect();
    assert_eq!(users, ["postroom-core"]);
}

#[test]
fn programs_do_not_depend_on_each_other() {
    let uses = uses();
    for program in PROGRAMS {
        let used = &uses[program];
        let others: Vec<_> = PROGRAMS.iter().filter(|other| used.contains(&(**other).to_owned())).collect();
        assert!(others.is_empty(), "{program} uses {others:?}");
    }
}

#[test]
fn mail_knows_no_jobs_and_smtp_knows_nothing() {
    let uses = uses();
    let ours = |name: &str| -> Vec<String> {
        uses[name].iter().filter(|used| used.starts_with("postroom-")).cloned().collect()
    };
    assert_eq!(ours("postroom-core"), Vec::<String>::new());
    assert_eq!(ours("postroom-smtp"), Vec::<String>::new());
    assert_eq!(ours("postroom-mail"), ["postroom-core", "postroom-smtp"]);
}

#[test]
fn every_file_has_one_noun() {
    let mut long: Vec<(PathBuf, usize)> = Vec::new();
    for file in sources(&root().join("crates")) {
        let lines = std::fs::read_to_string(&file).expect("a source file").lines().count();
        let name = file.strip_prefix(root()).expect("a file of ours").to_owned();
        if lines > LINES && !LONG.iter().any(|(known, _)| name == Path::new(known)) {
            long.push((name, lines));
        }
    }
    assert!(long.is_empty(), "{long:?}");
}

/// What each of our crates depends on, tests left out.
fn uses() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--locked", "--format-version", "1"]).current_dir(root());
    let output = command.output().expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| (word(&package["name"]), used(package)))
        .collect()
}

fn used(package: &Value) -> Vec<String> {
    let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
    let mut used: Vec<String> =
        dependencies.filter(|used| used["kind"] != "dev").map(|used| word(&used["name"])).collect();
    used.sort();
    used
}

fn word(value: &Value) -> String {
    value.as_str().expect("a word").to_owned()
}

fn first((name, _): (String, Vec<String>)) -> String {
    name
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| {
            path.extension().is_some_and(|ending| ["rs", "lua", "css", "js", "py"].iter().any(|known| ending == *known))
        })
        .collect()
}

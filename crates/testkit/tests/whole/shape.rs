//! The shape of the repository: dependencies between crates, imports between modules, names of types, sizes of files
//! and lines.

mod circles;
mod columns;
mod crate_tree;
mod source;
mod type_names;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::site::root;

const PROGRAMS: [&str; 4] = ["postroom-worker", "postroom-beat", "postroom-monitor", "postroom-enqueue"];

/// Maximum number of lines of a file. A longer one owns two things.
const MAX_LINES: usize = 400;

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
fn files_are_short() {
    let lines = files(&["rs", "lua", "css", "js", "py"]).into_iter().map(|(file, text)| (file, text.lines().count()));
    let long: Vec<(String, usize)> = lines.filter(|(_, lines)| *lines > MAX_LINES).collect();
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

/// Path in the repository and text of all files with one of these extensions.
fn files(extensions: &[&str]) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    collect_files(&root(), &mut paths);
    paths.retain(|path| extensions.iter().any(|extension| path.extension().is_some_and(|own| own == *extension)));
    paths.sort();
    let name = |path: &Path| path.strip_prefix(root()).expect("a file of the repository").display().to_string();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).expect("a text file"))).collect()
}

/// Adds the files below a folder; hidden folders and build results are left out.
fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || name == "target" || name == "node_modules" {
            continue;
        }
        if path.is_dir() {
            collect_files(&path, files);
        } else {
            files.push(path);
        }
    }
}

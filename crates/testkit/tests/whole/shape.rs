//! The shape of the repository: dependencies between crates, imports between modules, names of
//! types, sizes of files and lines.

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

use crate::fixture::root;

const PROGRAMS: [&str; 4] = ["postroom-worker", "postroom-beat", "postroom-monitor", "postroom-cli"];

/// Maximum number of lines of a file. A longer one owns two things.
const MAX_LINES: usize = 400;

#[test]
fn only_core_depends_on_the_redis_client() {
    let dependents: Vec<String> = dependencies()
        .into_iter()
        .filter(|(_, names)| names.contains(&"redis".to_owned()))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(dependents, ["postroom-core"]);
}

#[test]
fn programs_do_not_depend_on_each_other() {
    let dependencies = dependencies();
    for program in PROGRAMS {
        let names = &dependencies[program];
        let others: Vec<_> = PROGRAMS.iter().filter(|other| names.contains(&(**other).to_owned())).collect();
        assert!(others.is_empty(), "{program} depends on {others:?}");
    }
}

#[test]
fn mail_depends_on_core_and_smtp_and_they_on_none() {
    let dependencies = dependencies();
    let ours = |name: &str| -> Vec<String> {
        dependencies[name].iter().filter(|other| other.starts_with("postroom-")).cloned().collect()
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

/// Dependencies of each crate of the workspace, without those of tests.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--locked", "--format-version", "1"]).current_dir(root());
    let output = command.output().expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| (text(&package["name"]), dependencies_of(package)))
        .collect()
}

fn dependencies_of(package: &Value) -> Vec<String> {
    let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
    let normal = dependencies.filter(|dependency| dependency["kind"] != "dev");
    let mut names: Vec<String> = normal.map(|dependency| text(&dependency["name"])).collect();
    names.sort();
    names
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
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

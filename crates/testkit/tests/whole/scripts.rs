//! Tests of the scripts that need no build. CI runs the whole scripts.

use std::process::{Command, Output};

use crate::fixture::root;

fn run(script: &str, args: &[&str]) -> Output {
    Command::new("bash").arg(root().join(script)).args(args).env_remove("CARGO").output().expect("bash runs")
}

#[test]
fn every_script_has_help() {
    for script in ["start", "test", "bench", "chaos", "fuzz", "audit", "spam-score", "servers"] {
        let script = &format!("scripts/{script}");
        let output = run(script, &["--help"]);
        assert!(output.status.success(), "{script}: {output:?}");
        let text = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&text).contains("Usage: scripts/"), "{script}");
    }
}

#[test]
fn unknown_arguments_are_refused() {
    for (script, args) in [
        ("scripts/start", &["--chek"][..]),
        ("scripts/start", &["stop", "now"]),
        ("scripts/bench", &["x"]),
        ("scripts/chaos", &["x"]),
        ("scripts/fuzz", &["x"]),
        ("scripts/fuzz", &["1x"]),
        ("scripts/audit", &["x"]),
        ("scripts/spam-score", &["x"]),
        ("scripts/servers", &["x"]),
        ("scripts/servers", &["--seconds", "x"]),
    ] {
        let output = run(script, args);
        assert_eq!(output.status.code(), Some(2), "{script} {args:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Usage: scripts/"), "{script} {args:?}");
    }
}

/// The scripts work with bash 3.2: they use no feature of a newer bash.
#[test]
fn every_script_is_valid_bash() {
    let newer = ["mapfile", "readarray", "declare -A", "local -n", "${1,,}", "coproc", "&>>", "wait -n"];
    let all = ["start", "test", "bench", "chaos", "fuzz", "audit", "spam-score", "servers"];
    let all = all.map(|name| format!("scripts/{name}"));
    let lib = ["scripts/lib", "scripts/lib/bench"].iter().flat_map(|folder| shell_files(folder));
    for script in all.into_iter().chain(lib).chain([".ci/run".to_owned()]) {
        let script = script.as_str();
        let output = Command::new("bash").arg("-n").arg(root().join(script)).output().expect("bash runs");
        assert!(output.status.success(), "{script}: {output:?}");
        let text = crate::fixture::read(script);
        let found: Vec<_> = newer.iter().filter(|word| text.contains(**word)).collect();
        assert!(found.is_empty(), "{script} uses {found:?}");
    }
}

fn shell_files(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".sh")).map(|name| format!("{folder}/{name}")).collect()
}

//! The scripts, as far as they can be tried without a build; CI runs them whole.

use std::process::{Command, Output};

use crate::site::root;

fn run(script: &str, args: &[&str]) -> Output {
    Command::new("bash").arg(root().join(script)).args(args).env_remove("CARGO").output().expect("bash runs")
}

#[test]
fn they_tell_how_to_use_them() {
    for script in ["scripts/start", "scripts/test", "scripts/bench", "scripts/chaos", "scripts/fuzz", "scripts/audit"] {
        let output = run(script, &["--help"]);
        assert!(output.status.success(), "{script}: {output:?}");
        let said = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains("Usage: scripts/"), "{script}");
    }
}

#[test]
fn what_they_do_not_know_is_refused() {
    for (script, args) in [
        ("scripts/start", &["--chek"][..]),
        ("scripts/start", &["stop", "now"]),
        ("scripts/bench", &["x"]),
        ("scripts/chaos", &["x"]),
        ("scripts/fuzz", &["x"]),
        ("scripts/fuzz", &["1x"]),
        ("scripts/audit", &["x"]),
    ] {
        let output = run(script, args);
        assert_eq!(output.status.code(), Some(2), "{script} {args:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Usage: scripts/"), "{script} {args:?}");
    }
}

/// Also the oldest bash that they are meant for reads them; what it lacks is not used.
#[test]
fn bash_reads_them() {
    let newer = ["mapfile", "readarray", "declare -A", "local -n", "${1,,}", "coproc", "&>>", "wait -n"];
    let all = ["start", "test", "bench", "chaos", "fuzz", "audit"].map(|name| format!("scripts/{name}"));
    let lib = ["scripts/lib", "scripts/lib/bench"].iter().flat_map(|folder| shell_files(folder));
    for script in all.into_iter().chain(lib).chain([".ci/run".to_owned()]) {
        let script = script.as_str();
        let output = Command::new("bash").arg("-n").arg(root().join(script)).output().expect("bash runs");
        assert!(output.status.success(), "{script}: {output:?}");
        let text = crate::site::read(script);
        let found: Vec<_> = newer.iter().filter(|word| text.contains(**word)).collect();
        assert!(found.is_empty(), "{script} uses {found:?}");
    }
}

fn shell_files(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".sh")).map(|name| format!("{folder}/{name}")).collect()
}

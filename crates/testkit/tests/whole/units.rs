//! The systemd units.

use std::process::Command;

use postroom_testkit::target_bin;

use crate::fixture::{read, tool};

const UNITS: [(&str, &str); 3] = [
    ("postroom-worker@.service", "postroom-worker"),
    ("postroom-beat.service", "postroom-beat"),
    ("postroom-monitor.service", "postroom-monitor"),
];

/// `systemd-analyze` accepts the units, with the programs of this build.
#[test]
fn systemd_accepts_the_units() {
    let Some(verify) = tool("systemd-analyze") else {
        eprintln!("skipped: this system has no systemd-analyze");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(verify);
    command.args(["verify", "--man=no"]);
    for (unit, program) in UNITS {
        let text = installed_here(unit, program);
        std::fs::write(folder.path().join(unit), text).expect("a unit");
        command.arg(folder.path().join(unit.replace('@', "@1")));
    }
    let output = command.output().expect("systemd-analyze runs");
    let messages = String::from_utf8_lossy(&output.stderr);
    // Messages about other units of this machine are ignored.
    assert!(output.status.success() && !messages.contains("postroom"), "{}\n{messages}", output.status);
}

/// Returns a unit that starts the program of this build.
fn installed_here(unit: &str, program: &str) -> String {
    let text = read(&format!("deploy/{unit}"));
    let installed = format!("ExecStart=/usr/bin/{program}\n");
    assert!(text.contains(&installed), "{unit} does not start {program}");
    text.replace(&installed, &format!("ExecStart={}\n", target_bin(program).display()))
}

/// systemd waits longer for a stopping worker than `SHUTDOWN_TIMEOUT`.
#[test]
fn systemd_waits_for_a_stopping_worker() {
    let seconds = |text: &str, before: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(before)).expect("the setting");
        line.trim_end_matches('s').parse().expect("seconds")
    };
    let stop = seconds(&read("deploy/postroom-worker@.service"), "TimeoutStopSec=");
    let own = seconds(&read(".env.example"), "#SHUTDOWN_TIMEOUT=");
    assert!(stop > own + 5, "{stop} s is not enough for {own} s");
}

/// The three units have the same sandbox.
#[test]
fn every_unit_has_the_same_sandbox() {
    let [worker, beat, monitor] = UNITS.map(|(unit, _)| hardening(&read(&format!("deploy/{unit}"))));
    assert!(worker.len() > 20 && worker.iter().any(|line| line == "NoNewPrivileges=yes"), "{worker:?}");
    assert_eq!(worker, beat);
    assert_eq!(worker, monitor);
}

fn hardening(text: &str) -> Vec<String> {
    let from = text.find("CapabilityBoundingSet").expect("the hardening");
    let settings = text[from..].lines().take_while(|line| !line.starts_with('['));
    settings.filter(|line| line.contains('=') && !line.starts_with('#')).map(str::to_owned).collect()
}

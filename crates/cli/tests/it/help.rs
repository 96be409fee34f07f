//! `--help` of every command, usage errors, and other programs started by `postroom`.

use crate::fixture::Fixture;

#[test]
fn every_command_has_help_with_examples() {
    let fixture = Fixture::new();
    for command in [
        "send",
        "bulk",
        "status",
        "list",
        "cancel",
        "retry",
        "resolve",
        "queues",
        "pause",
        "resume",
        "workers",
        "limits",
        "templates",
        "schedule",
        "doctor",
    ] {
        let help = fixture.ok(&[command, "--help"]);
        assert!(
            help.contains(&format!("Examples:\n  postroom {command}")) || command == "resolve",
            "{command}: {help}"
        );
        assert!(help.contains("Examples:") && help.contains("--json"), "{command}: {help}");
    }
    let help = fixture.ok(&["--help"]);
    assert!(help.contains("Exit codes:") && help.contains("conflict"), "{help}");
}

#[test]
fn documents_and_help_name_the_bounds() {
    use postroom_core::bounds;
    let page = include_str!("../../../../docs/command-line.md");
    let table = page.split("## Bounds").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    let help = Fixture::new().ok(&["send", "--help"]);
    for (number, what, is_in_help) in [
        (bounds::RECIPIENTS, "recipients", true),
        (bounds::REPLY_TO, "`reply_to`", false),
        (bounds::SUBJECT, "subject", true),
        (bounds::HEADER_VALUE, "value of a header", false),
        (bounds::HEADER_NAME, "name of a header", false),
        (bounds::HEADERS, "headers of a mail", true),
        (bounds::NAME, "display name", true),
        (bounds::ATTACHMENTS, "attachments", true),
        (bounds::VARIABLE_DEPTH, "variables", false),
        (bounds::VARIABLES >> 20, "variables", false),
    ] {
        let is_named = |text: &str| text.lines().any(|line| line.contains(&number.to_string()));
        assert!(table.lines().any(|line| line.contains(what) && is_named(line)), "{what}: {number}");
        assert!(!is_in_help || is_named(&help), "{what}: {number}: {help}");
    }
}

#[test]
fn unknown_commands_and_flags_are_refused() {
    let fixture = Fixture::new();
    for args in [
        &["emit"][..],
        &["serve"],
        &["send", "--durable"],
        &["bulk", "--rate", "1/s"],
        &["limits", "typo"],
        &["--nope"],
    ] {
        let ran = fixture.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{ran:?}");
        let ran = fixture.run(&[args, &["--json"]].concat());
        let error: serde_json::Value = serde_json::from_str(&ran.stderr).expect("JSON");
        assert_eq!((ran.code, error["error"]["code"].as_str()), (2, Some("invalid")), "{error}");
        assert!(!error["error"]["message"].as_str().unwrap_or_default().is_empty(), "{error}");
    }
}

#[test]
fn flags_after_a_program_command_belong_to_that_program() {
    let fixture = Fixture::new();
    // The monitor may not be built, and PATH has none, so it either starts or is named in the
    // error.
    let ran = fixture.with("PATH", "/nowhere").run(&["monitor", "--help", "--json"]);
    let found = ran.stdout.contains("postroom-monitor") || ran.stderr.contains("postroom-monitor");
    assert!(found, "{ran:?}");
}

#[test]
fn a_closed_pipe_does_not_panic() {
    let fixture = Fixture::new();
    fixture.send(&[]);
    let mut child = fixture
        .command()
        .args(["list", "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("postroom runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("postroom ends");
    assert!(output.status.success() && !String::from_utf8_lossy(&output.stderr).contains("panic"), "{output:?}");
}

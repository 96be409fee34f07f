//! `postroom send` without a worker.

use serde_json::{Value, json};

use crate::fixture::Fixture;

#[test]
fn the_id_is_printed_alone_and_the_status_has_all_fields() {
    let fixture = Fixture::new();
    let ran =
        fixture.run(&["send", "--to", "Ann <ann@example.org>", "ben@example.org", "--subject", "Hi", "--text", "x"]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 1), "{ran:?}");
    ran.mentions(&["warning: no worker serves the queue emails"]);
    let status = fixture.status(ran.out());
    let keys: Vec<&str> = status.as_object().expect("an object").keys().map(String::as_str).collect();
    for key in [
        "id",
        "state",
        "queue",
        "priority",
        "batch",
        "to",
        "recipients",
        "template",
        "attempt",
        "max_attempts",
        "due_at",
        "expires_at",
        "enqueued_at",
        "finished_at",
        "message_id",
        "receipt",
        "reason",
        "error",
        "attempts",
    ] {
        assert!(keys.contains(&key), "{key} is missing in {status}");
    }
    assert_eq!(status["state"], "queued");
    assert_eq!(status["to"], json!(["Ann <ann@example.org>", "ben@example.org"]));
    assert_eq!(status["queue"], "emails");
    assert_eq!(status["priority"], 5);
    let text = fixture.ok(&["status", ran.out()]);
    assert!(text.contains("is queued") && text.contains("Ann <ann@example.org>"), "{text}");
    let json: Value = serde_json::from_str(&fixture.send(&["--json"])).expect("JSON");
    assert!(json["id"].as_str().is_some_and(|id| id.starts_with("emails-")), "{json}");
}

#[test]
fn a_header_in_two_spellings_and_a_wrong_type_are_bad_input() {
    let fixture = Fixture::new();
    let start = ["send", "--to", "ann@example.org", "--subject", "Hi", "--text", "x"];
    for (flags, words) in [
        (&["--header", "X-Foo: a", "--header", "x-foo: b"][..], "x-foo is set twice, as X-Foo and x-foo"),
        (
            &["--header", "List-Unsubscribe: <u@example.org>"],
            "\"u@example.org\", which is no URL; it may be <mailto:…>",
        ),
        (&["--header", "Precedence: \u{fc}"], "the value of Precedence contains 'ü'"),
        (&["--attach", "a.ics;type=text/"], "\"text/\" is not a MIME type; it may be text/calendar"),
    ] {
        let ran = fixture.run(&[&start[..], flags].concat());
        assert_eq!(ran.code, 2, "{ran:?}");
        ran.mentions(&[words]);
    }
}

#[test]
fn an_empty_subject_and_body_give_warnings() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["send", "--to", "ann@example.org", "--subject", "", "--text", ""]);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.mentions(&["warning: the subject is empty", "warning: the body is empty"]);
}

#[test]
fn options_override_the_templates_settings() {
    let fixture = Fixture::new().with_templates();
    fixture.file(
        "postroom.toml",
        "[queue.urgent]\n[template.password_reset]\nqueue = \"urgent\"\npriority = 1\nexpires_in = \"1h\"\n",
    );
    let args = [
        "send",
        "--to",
        "a@example.org",
        "--template",
        "password_reset",
        "--var",
        "name=Ann",
        "--var",
        "reset_url=https://example.org/r",
        "--var",
        "expires_in=one hour",
    ];
    let status = fixture.status(&fixture.ok(&args));
    assert_eq!((&status["queue"], &status["priority"]), (&json!("urgent"), &json!(1)));
    assert!(status["expires_at"].is_string());
    let status = fixture.status(&fixture.ok(&[&args[..], &["--queue", "bulk", "--priority", "9"]].concat()));
    assert_eq!((&status["queue"], &status["priority"]), (&json!("bulk"), &json!(9)));
}

#[test]
fn a_mail_is_due_after_a_delay_or_at_a_time() {
    let fixture = Fixture::new();
    assert_eq!(fixture.status(&fixture.send(&["--in", "10m"]))["state"], "scheduled");
    let status = fixture.status(&fixture.send(&["--at", "2040-01-31T08:00:00+01:00"]));
    assert_eq!((&status["state"], &status["due_at"]), (&json!("scheduled"), &json!("2040-01-31T07:00:00.000Z")));
    let status = fixture.status(&fixture.send(&["--at", "2020-01-31T08:00:00Z"]));
    assert_eq!((&status["state"], &status["due_at"]), (&json!("queued"), &status["enqueued_at"]));
}

#[test]
fn an_expired_mail_is_cancelled_without_a_worker() {
    let fixture = Fixture::new();
    let id = fixture.send(&["--expires-in", "1s"]);
    let ran = fixture.run(&["status", &id, "--wait", "60s", "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    ran.mentions(&["cancelled", "expired"]);
    let status: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((&status["state"], &status["reason"]), (&json!("cancelled"), &json!("expired")));
}

#[test]
fn waiting_without_a_worker_is_exit_code_5() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["send", "--to", "a@example.org", "--subject", "s", "--text", "t", "--wait", "100ms"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.out().starts_with("emails-"));
    ran.mentions(&["queued", "100ms"]);
    assert_eq!(fixture.run(&["status", ran.out(), "--wait", "100ms"]).code, 5);
}

#[test]
fn a_key_sends_once_and_other_content_is_a_conflict() {
    let fixture = Fixture::new();
    let first = fixture.send(&["--key", "order-1"]);
    assert_eq!(fixture.send(&["--key", "order-1"]), first);
    assert_ne!(fixture.send(&["--key", "order-2"]), first);
    let ran = fixture.run(&["send", "--to", "b@example.org", "--subject", "Hi", "--text", "x", "--key", "order-1"]);
    ran.refused(7, &["order-1", &first]);
    assert_eq!(fixture.ok(&["list", "--json"]).lines().count(), 2);
}

#[test]
fn parts_are_read_from_files() {
    let fixture = Fixture::new().with_templates();
    fixture.file("body.txt", "Grüße\n");
    fixture.file("notes.pdf", b"%PDF");
    fixture.file("vars.json", r#"{"name": "Ann", "title": "T", "intro": "I", "articles": [{"title": "One"}]}"#);
    let id = fixture.ok(&[
        "send",
        "--to",
        "a@example.org",
        "--subject",
        "s",
        "--text",
        "@body.txt",
        "--attach",
        "notes.pdf",
        "--header",
        "X-Kind: news",
    ]);
    assert_eq!(fixture.status(&id)["state"], "queued");
    let args = ["send", "--to", "a@example.org", "--template", "newsletter"];
    fixture.ok(&[&args[..], &["--vars", "vars.json"]].concat());
    let ran = fixture.run_with(
        &[&args[..], &["--vars", "-", "--var-json", "articles=[]"]].concat(),
        br#"{"name":"A","title":"T","intro":"I"}"#,
    );
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// Sends a mail to a folder and returns its text.
fn text_of(fixture: &Fixture, more: &[&str], stdin: &[u8]) -> Value {
    let folder = fixture.folder().join("out");
    let args = ["send", "--to", "a@example.org", "--subject", "s", "--sync"];
    let ran = fixture.run_with(&[&args[..], more].concat(), stdin);
    assert_eq!(ran.code, 0, "{more:?}: {ran:?}");
    let file = folder.join(format!("{}.eml", ran.out()));
    let mail = std::fs::read_to_string(file).expect("a mail");
    json!(mail.split_once("\r\n\r\n").map(|(_, body)| body.replace("\r\n", "\n").trim_end().to_owned()))
}

#[test]
fn a_text_is_literal_or_read_from_a_file() {
    let fixture = Fixture::new().with("MAIL_TRANSPORT", "file:out").with("SMTP_MAIL_FROM", "d@example.org");
    fixture.file("body.txt", "from a file");
    fixture.file("@body.txt", "from a file with an @");
    for (more, stdin, text) in [
        (&["--text", "@body.txt"][..], "", "from a file"),
        (&["--text-file", "body.txt"], "", "from a file"),
        (&["--text-file", "@body.txt"], "", "from a file with an @"),
        (&["--text-file", "-"], "@body.txt", "@body.txt"),
        (&["--text", "@-"], "-- \n@x", "-- \n@x"),
        (&["--text", "@@body.txt"], "", "@body.txt"),
        (&["--text", "@@"], "", "@"),
        (&["--text", "-5 %"], "", "-5 %"),
        (&["--text", "--attach=body.txt"], "", "--attach=body.txt"),
        (&["--text", "--sync"], "", "--sync"),
        (&["--subject=--sync", "--text=-"], "", "-"),
    ] {
        let more = if more[0].starts_with("--subject") { &more[1..] } else { more };
        assert_eq!(text_of(&fixture, more, stdin.as_bytes()), text, "{more:?}");
    }
}

/// A process substitution `<(command)` is a pipe with a path.
#[test]
fn pipes_are_read_until_they_end() {
    let fixture = Fixture::new().with_templates();
    let script = "\"$0\" send --to a@example.org --subject s --text-file <(echo Hello) --attach <(echo file) --json && \
        \"$0\" bulk --template newsletter --var title=T --var intro=I \
        --csv <(printf 'email,name\\na@example.org,A\\n') --key k && \
        \"$0\" bulk --jsonl <(echo '{\"to\": \"a@example.org\", \"subject\": \"s\", \"text\": \"t\"}')";
    let mut bash = std::process::Command::new("bash");
    let postroom = fixture.command();
    bash.args(["-c", script]).arg(postroom.get_program()).current_dir(fixture.folder());
    bash.env_clear().envs(postroom.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = bash.output().expect("bash runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.lines().count() == 3, "{out}{err}");
    assert_eq!(err.matches("1 mail queued").count(), 2, "{err}");
}

#[test]
fn a_configured_queue_is_accepted_and_no_result_keeps_no_result() {
    let fixture = Fixture::new();
    fixture.file("postroom.toml", "[queue.reports]\n");
    let id = fixture.send(&["--queue", "reports", "--no-result"]);
    assert!(id.starts_with("reports-"));
    fixture.ok(&["cancel", &id]);
    let status = fixture.status(&id);
    assert_eq!((&status["state"], &status["to"]), (&json!("cancelled"), &json!([])));
}

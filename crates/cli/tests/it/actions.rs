//! Cancel, retry, resolve, pause, resume, list, templates and doctor.

use postroom_testkit::FakeSmtp;
use serde_json::Value;

use crate::fixture::Fixture;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn jobs_are_cancelled_and_retried() {
    let fixture = Fixture::new();
    let (one, two) = (fixture.send(&[]), fixture.send(&["--in", "1h"]));
    let text = fixture.ok(&["cancel", &one, &two]);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert_eq!(fixture.status(&one)["state"], "cancelled");
    assert_eq!(fixture.status(&two)["reason"], "person");
    fixture.ok(&["cancel", &one]);
    fixture.ok(&["retry", &one]);
    assert_eq!(fixture.status(&one)["state"], "queued");
    fixture.run(&["retry", &one]).refused(7, &["queued"]);
    fixture.run(&["resolve", &one, "sent"]).refused(7, &["not unknown"]);
    fixture.run(&["resolve", &one, "maybe"]).refused(2, &["maybe", "resend"]);
}

#[test]
fn an_unknown_id_is_4_and_a_malformed_id_is_2() {
    let fixture = Fixture::new();
    for command in [&["status"][..], &["cancel"], &["retry"]] {
        for id in ["emails-01ARZ3NDEKTSV4RRFFQ69G5FAV", "b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            fixture.run(&[command, &[id]].concat()).refused(4, &[id, "not found"]);
        }
        fixture.run(&[command, &["nonsense"]].concat()).refused(2, &["nonsense", "looks like"]);
    }
    fixture.run(&["status", "emails-01ARZ3NDEKTSV4RRFFQ69G5FAV", "--wait", "5s"]).refused(4, &["not found"]);
    fixture.run(&["pause", "typo"]).refused(4, &["typo"]);
    fixture.run(&["schedule", "run", "typo"]).refused(4, &["typo"]);
}

#[test]
fn a_queue_is_paused_and_resumed() {
    let fixture = Fixture::new();
    fixture.send(&[]);
    fixture.ok(&["pause", "emails"]);
    let paused = |fixture: &Fixture| {
        let queues = lines(&fixture.ok(&["queues", "--json"]));
        let emails = queues.into_iter().find(|queue| queue["queue"] == "emails").expect("emails");
        (emails["paused"].clone(), emails["queued"].clone(), emails["workers"].clone())
    };
    assert_eq!(paused(&fixture), (true.into(), 1.into(), 0.into()));
    assert!(fixture.ok(&["queues"]).contains("emails (paused)"));
    fixture.ok(&["resume", "emails"]);
    assert_eq!(paused(&fixture).0, false);
}

#[test]
fn a_batch_is_paused_and_resumed_independently_of_its_queue() {
    let fixture = Fixture::new().with_templates();
    let news = ["bulk", "--template", "newsletter", "--var", "name=A", "--var", "title=T", "--var", "intro=I"];
    let id = fixture.ok(&[&news[..], &["--rate", "100/m", "--to", "a@example.org", "b@example.org"]].concat());
    assert_eq!((&fixture.status(&id)["eta_s"], &fixture.status(&id)["pace_us"]), (&2.into(), &600_000.into()));
    let results = lines(&fixture.ok(&["pause", &id, "emails", "--json"]));
    assert_eq!(results[0], serde_json::json!({ "id": id, "paused": true }));
    assert_eq!(results[1], serde_json::json!({ "queue": "emails", "paused": true }));
    let batch = fixture.status(&id);
    assert_eq!((&batch["paused"], &batch["eta_s"], &batch["queued"]), (&true.into(), &Value::Null, &2.into()));
    let text = fixture.ok(&["status", &id]);
    assert!(text.starts_with(&format!("{id} is paused\n")) && !text.contains("(paused)"), "{text}");
    fixture.ok(&["pause", "bulk"]);
    assert!(fixture.ok(&["status", &id]).contains("bulk (paused)"));
    fixture.ok(&["resume", "bulk"]);
    assert!(fixture.ok(&["pause", &id]).contains("was already paused"));
    assert!(fixture.ok(&["resume", &id]).contains("is resumed"));
    assert!(fixture.ok(&["resume", &id]).contains("was not paused"));
    assert_eq!(fixture.status(&id)["paused"], false);
    // All arguments are tried; the first error decides the exit code.
    let ran = fixture.run(&["pause", "b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV", "typo", &id]);
    assert_eq!((ran.code, ran.out()), (4, format!("{id} is paused").as_str()), "{ran:?}");
    ran.mentions(&[
        "01ARZ3NDEKTSV4RRFFQ69G5FAV was not found",
        "there is no queue typo; it may be bulk, default, emails",
    ]);
    fixture.ok(&["cancel", &id]);
    fixture.run(&["pause", &id]).refused(7, &["was cancelled"]);
}

#[test]
fn list_filters_and_continues_from_a_cursor() {
    let fixture = Fixture::new();
    for number in 0..5 {
        fixture.ok(&["send", "--to", &format!("a{number}@example.org"), "--subject", "s", "--text", "t"]);
    }
    let cancelled = fixture.send(&["--in", "1h"]);
    fixture.ok(&["cancel", &cancelled]);
    let count = |args: &[&str]| lines(&fixture.ok(&[&["list", "--json"], args].concat())).len();
    assert_eq!(count(&[]), 6);
    assert_eq!(count(&["--state", "queued"]), 5);
    assert_eq!(count(&["--state", "cancelled"]), 1);
    assert_eq!(count(&["--address", "a3@EXAMPLE.org"]), 1);
    assert_eq!(count(&["--queue", "bulk"]), 0);
    assert_eq!(count(&["--template", "x"]), 0);
    let ran = fixture.run(&["list", "--json", "--limit", "4"]);
    let cursor = lines(&ran.stderr)[0]["cursor"].as_str().expect("a cursor").to_owned();
    assert_eq!(lines(&ran.stdout).len() + count(&["--cursor", &cursor]), 6, "{ran:?}");
    for what in ["--json", "--batches"] {
        fixture.run(&["list", "--queue", "buk", what]).refused(4, &["no queue buk", "bulk", "emails"]);
    }
    fixture.run(&["list", "--cursor", "x"]).refused(2, &["cursor"]);
    fixture.run(&["list", "--state", "delivered"]).refused(2, &["delivered", "sent"]);
    assert!(fixture.ok(&["list"]).contains("a3@example.org"));
}

#[test]
fn templates_are_listed_and_shown() {
    let fixture = Fixture::new().with_templates();
    let names = lines(&fixture.ok(&["templates", "--json"]));
    let activation = names.iter().find(|info| info["name"] == "user_activation").expect("user_activation");
    assert_eq!(activation["locales"], serde_json::json!(["pl"]));
    let vars = ["--var", "name=Ann <b>", "--var", "title=News", "--var", "intro=I"];
    let shown = fixture.ok(&[&["templates", "newsletter"], &vars[..]].concat());
    assert!(shown.starts_with("Subject: News\n") && shown.contains("Hello Ann <b>,"), "{shown}");
    let html = fixture.ok(&[&["templates", "newsletter", "--html"], &vars[..]].concat());
    assert!(html.contains("Ann &lt;b&gt;"), "{html}");
    fixture.run(&["templates", "newsletter"]).refused(2, &["newsletter/subject.txt", "title"]);
    fixture.run(&["templates", "nope"]).refused(4, &["nope", "newsletter"]);
    Fixture::new().run(&["templates"]).refused(2, &["templates"]);
}

/// Repeating the command would not help, so the error does not suggest it.
#[test]
fn a_cancelled_bulk_stays_cancelled() {
    let fixture = Fixture::new().with_templates();
    let news = ["bulk", "--template", "newsletter", "--var", "name=A", "--var", "title=T", "--var", "intro=I"];
    let again = [&news[..], &["--key", "k", "--to", "a@example.org"]].concat();
    let id = fixture.ok(&again);
    fixture.ok(&["cancel", &id]);
    let ran = fixture.run(&again);
    assert!(ran.code == 7 && ran.stderr.ends_with("error: the batch was cancelled\n"), "{ran:?}");
}

#[tokio::test]
async fn doctor_warns_about_dangerous_settings() {
    let server = FakeSmtp::builder().auth("ada", "correct horse").start().await;
    // Not a loopback address in the settings, but it connects to this machine.
    let login = [("SMTP_HOST", "0.0.0.0"), ("SMTP_USERNAME", "ada"), ("SMTP_PASSWORD", "correct horse")];
    let fixture =
        login.into_iter().fold(Fixture::new().with_smtp(&server), |fixture, (name, value)| fixture.with(name, value));
    let ran = fixture.with("NOTIFY_WEBHOOK_SECRET", "short").run(&["doctor"]);
    for line in [
        "warn settings: transport default sends its password to 0.0.0.0 without TLS",
        "warn settings: NOTIFY_WEBHOOK_SECRET has 5 bytes",
        "ok   transport default: 0.0.0.0",
    ] {
        assert!(ran.stdout.contains(line), "{line}: {ran:?}");
    }
    let ran =
        Fixture::new().with_smtp(&server).with("NOTIFY_WEBHOOK_SECRET", "as long as it should be..").run(&["doctor"]);
    assert!(!ran.stdout.contains("settings:"), "{ran:?}");
}

/// Control characters of arguments, files and stored data are escaped.
#[test]
fn control_characters_are_escaped() {
    let fixture = Fixture::new().with_templates();
    let odd = "\u{1b}[2J\u{9b}31m\u{7f}\u{202e}x";
    let rows = fixture.file("rows.csv", format!("email,name\na{odd}@example.org,A\nb@example.org,B\n"));
    let rows = rows.to_str().expect("UTF-8");
    let news = ["bulk", "--template", "newsletter", "--var", "title=T", "--var", "intro=I", "--csv", rows];
    for args in [
        &["status", &format!("emails-{odd}")][..],
        &["send", "--to", &format!("a{odd}@example.org"), "--subject", "s", "--text", "t"],
        &["send", "--to", "a@example.org", "--template", &format!("no{odd}")],
        &["templates", &format!("no{odd}")],
        &["templates", "newsletter", "--var", &format!("name=A{odd}"), "--var", "title=T", "--var", "intro=I"],
        &["pause", &format!("a{odd}")],
        &news,
    ] {
        for args in [args, &[args, &["--json"]].concat()] {
            let ran = fixture.run(args);
            let output = format!("{}{}", ran.stdout, ran.stderr);
            let unescaped: Vec<char> =
                output.chars().filter(|c| *c != '\n' && postroom_core::needs_escape(*c)).collect();
            assert!(unescaped.is_empty(), "{args:?}: {output:?}");
            assert!(output.contains("31m"), "{args:?}: {output:?}");
        }
    }
}

#[test]
fn doctor_reports_missing_parts() {
    let fixture = Fixture::new().with_templates();
    fixture.send(&[]);
    let ran = fixture.run(&["doctor"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for line in ["ok   redis:", "FAIL workers:", "FAIL queue emails: 1 mail", "FAIL transport:", "ok   templates: 4"] {
        assert!(ran.stdout.contains(line), "{line}: {}", ran.stdout);
    }
    let checks = lines(&fixture.run(&["doctor", "--json"]).stdout);
    assert!(checks.iter().any(|line| line["result"] == "fail" && line["check"] == "workers"), "{checks:?}");
}

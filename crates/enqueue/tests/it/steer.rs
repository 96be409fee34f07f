//! Cancel, retry, resolve, pause, resume, list, and looking around.

use postroom_testkit::FakeSmtp;
use serde_json::Value;

use crate::Desk;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn cancel_and_retry() {
    let desk = Desk::new();
    let (one, two) = (desk.send(&[]), desk.send(&["--in", "1h"]));
    let text = desk.ok(&["cancel", &one, &two]);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert_eq!(desk.status(&one)["state"], "cancelled");
    assert_eq!(desk.status(&two)["reason"], "person");
    desk.ok(&["cancel", &one]);
    desk.ok(&["retry", &one]);
    assert_eq!(desk.status(&one)["state"], "queued");
    desk.run(&["retry", &one]).refused(7, &["queued"]);
    desk.run(&["resolve", &one, "sent"]).refused(7, &["not in doubt"]);
    desk.run(&["resolve", &one, "maybe"]).refused(2, &["maybe", "resend"]);
}

#[test]
fn what_is_unknown_is_4_and_what_is_malformed_is_2() {
    let desk = Desk::new();
    for command in [&["status"][..], &["cancel"], &["retry"]] {
        for id in ["emails-01ARZ3NDEKTSV4RRFFQ69G5FAV", "b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            desk.run(&[command, &[id]].concat()).refused(4, &[id, "not found"]);
        }
        desk.run(&[command, &["nonsense"]].concat()).refused(2, &["nonsense", "looks like"]);
    }
    desk.run(&["status", "emails-01ARZ3NDEKTSV4RRFFQ69G5FAV", "--wait", "5s"]).refused(4, &["not found"]);
    desk.run(&["pause", "typo"]).refused(4, &["typo"]);
    desk.run(&["schedule", "run", "typo"]).refused(4, &["typo"]);
}

#[test]
fn a_queue_pauses_and_goes_on() {
    let desk = Desk::new();
    desk.send(&[]);
    desk.ok(&["pause", "emails"]);
    let paused = |desk: &Desk| {
        let queues = lines(&desk.ok(&["queues", "--json"]));
        let emails = queues.into_iter().find(|queue| queue["queue"] == "emails").expect("emails");
        (emails["paused"].clone(), emails["queued"].clone(), emails["workers"].clone())
    };
    assert_eq!(paused(&desk), (true.into(), 1.into(), 0.into()));
    assert!(desk.ok(&["queues"]).contains("emails (paused)"));
    desk.ok(&["resume", "emails"]);
    assert_eq!(paused(&desk).0, false);
}

#[test]
fn a_batch_pauses_and_goes_on_beside_queues() {
    let desk = Desk::new().with_templates();
    let news = ["bulk", "--template", "newsletter", "--var", "name=A", "--var", "title=T", "--var", "intro=I"];
    let id = desk.ok(&[&news[..], &["--rate", "100/m", "--to", "a@example.org", "b@example.org"]].concat());
    assert_eq!((&desk.status(&id)["eta_s"], &desk.status(&id)["pace_us"]), (&2.into(), &600_000.into()));
    let told = lines(&desk.ok(&["pause", &id, "emails", "--json"]));
    assert_eq!(told[0], serde_json::json!({ "id": id, "paused": true }));
    assert_eq!(told[1], serde_json::json!({ "queue": "emails", "paused": true }));
    let batch = desk.status(&id);
    assert_eq!((&batch["paused"], &batch["eta_s"], &batch["queued"]), (&true.into(), &Value::Null, &2.into()));
    let told = desk.ok(&["status", &id]);
    assert!(told.starts_with(&format!("{id} is paused\n")) && !told.contains("(paused)"), "{told}");
    desk.ok(&["pause", "bulk"]);
    assert!(desk.ok(&["status", &id]).contains("bulk (paused)"));
    desk.ok(&["resume", "bulk"]);
    assert!(desk.ok(&["pause", &id]).contains("was paused before"));
    assert!(desk.ok(&["resume", &id]).contains("goes on"));
    assert!(desk.ok(&["resume", &id]).contains("was not paused"));
    assert_eq!(desk.status(&id)["paused"], false);
    // All are tried, the first failure decides.
    let ran = desk.run(&["pause", "b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV", "typo", &id]);
    assert_eq!((ran.code, ran.out()), (4, format!("{id} is paused").as_str()), "{ran:?}");
    ran.says(&["01ARZ3NDEKTSV4RRFFQ69G5FAV was not found", "the queue typo was not found"]);
    desk.ok(&["cancel", &id]);
    desk.run(&["pause", &id]).refused(7, &["was cancelled"]);
}

#[test]
fn list_filters_and_goes_on() {
    let desk = Desk::new();
    for number in 0..5 {
        desk.ok(&["send", "--to", &format!("a{number}@example.org"), "--subject", "s", "--text", "t"]);
    }
    let cancelled = desk.send(&["--in", "1h"]);
    desk.ok(&["cancel", &cancelled]);
    let count = |args: &[&str]| lines(&desk.ok(&[&["list", "--json"], args].concat())).len();
    assert_eq!(count(&[]), 6);
    assert_eq!(count(&["--state", "queued"]), 5);
    assert_eq!(count(&["--state", "cancelled"]), 1);
    assert_eq!(count(&["--address", "a3@EXAMPLE.org"]), 1);
    assert_eq!(count(&["--queue", "bulk"]), 0);
    assert_eq!(count(&["--template", "x"]), 0);
    let ran = desk.run(&["list", "--json", "--limit", "4"]);
    let cursor = ran.stderr.trim().rsplit(' ').next().expect("a cursor").to_owned();
    assert_eq!(lines(&ran.stdout).len() + count(&["--cursor", &cursor]), 6, "{ran:?}");
    for what in ["--json", "--batches"] {
        desk.run(&["list", "--queue", "buk", what]).refused(2, &["no queue buk", "bulk", "emails"]);
    }
    desk.run(&["list", "--cursor", "x"]).refused(2, &["cursor"]);
    desk.run(&["list", "--state", "delivered"]).refused(2, &["delivered", "sent"]);
    assert!(desk.ok(&["list"]).contains("a3@example.org"));
}

#[test]
fn templates_are_listed_and_shown() {
    let desk = Desk::new().with_templates();
    let names = lines(&desk.ok(&["templates", "--json"]));
    let activation = names.iter().find(|info| info["name"] == "user_activation").expect("user_activation");
    assert_eq!(activation["locales"], serde_json::json!(["pl"]));
    let vars = ["--var", "name=Ann <b>", "--var", "title=News", "--var", "intro=I"];
    let shown = desk.ok(&[&["templates", "newsletter"], &vars[..]].concat());
    assert!(shown.starts_with("Subject: News\n") && shown.contains("Hello Ann <b>,"), "{shown}");
    let html = desk.ok(&[&["templates", "newsletter", "--html"], &vars[..]].concat());
    assert!(html.contains("Ann &lt;b&gt;"), "{html}");
    desk.run(&["templates", "newsletter"]).refused(2, &["newsletter/subject.txt", "title"]);
    desk.run(&["templates", "nope"]).refused(4, &["nope", "newsletter"]);
    Desk::new().run(&["templates"]).refused(2, &["templates"]);
}

/// Saying it again would not help, so nobody is told to.
#[test]
fn a_cancelled_bulk_stays_cancelled() {
    let desk = Desk::new().with_templates();
    let news = ["bulk", "--template", "newsletter", "--var", "name=A", "--var", "title=T", "--var", "intro=I"];
    let again = [&news[..], &["--key", "k", "--to", "a@example.org"]].concat();
    let id = desk.ok(&again);
    desk.ok(&["cancel", &id]);
    let ran = desk.run(&again);
    assert!(ran.code == 7 && ran.stderr.ends_with("error: the batch was cancelled\n"), "{ran:?}");
}

#[tokio::test]
async fn doctor_warns_of_dangerous_settings() {
    let server = FakeSmtp::builder().auth("ada", "correct horse").start().await;
    // Beyond loopback as far as settings can tell, and yet this machine.
    let login = [("SMTP_HOST", "0.0.0.0"), ("SMTP_USERNAME", "ada"), ("SMTP_PASSWORD", "correct horse")];
    let desk = login.into_iter().fold(Desk::new().with_smtp(&server), |desk, (name, value)| desk.with(name, value));
    let ran = desk.with("NOTIFY_WEBHOOK_SECRET", "short").run(&["doctor"]);
    for line in [
        "warn settings: transport default sends its password to 0.0.0.0 without TLS",
        "warn settings: NOTIFY_WEBHOOK_SECRET has 5 bytes",
        "ok   transport default: 0.0.0.0",
    ] {
        assert!(ran.stdout.contains(line), "{line}: {ran:?}");
    }
    let ran =
        Desk::new().with_smtp(&server).with("NOTIFY_WEBHOOK_SECRET", "as long as it should be..").run(&["doctor"]);
    assert!(!ran.stdout.contains("settings:"), "{ran:?}");
}

/// Control characters in what was typed, imported or stored.
#[test]
fn nothing_acts_on_the_terminal() {
    let desk = Desk::new().with_templates();
    let odd = "\u{1b}[2J\u{9b}31m\u{7f}\u{202e}x";
    let rows = desk.file("rows.csv", format!("email,name\na{odd}@example.org,A\nb@example.org,B\n"));
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
            let ran = desk.run(args);
            let told = format!("{}{}", ran.stdout, ran.stderr);
            let acting: Vec<char> = told.chars().filter(|c| *c != '\n' && postroom_core::needs_escape(*c)).collect();
            assert!(acting.is_empty(), "{args:?}: {told:?}");
            assert!(told.contains("31m"), "{args:?}: {told:?}");
        }
    }
}

#[test]
fn doctor_tells_what_is_missing() {
    let desk = Desk::new().with_templates();
    desk.send(&[]);
    let ran = desk.run(&["doctor"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for line in ["ok   redis:", "FAIL workers:", "FAIL queue emails: 1 mail", "FAIL transport:", "ok   templates: 4"] {
        assert!(ran.stdout.contains(line), "{line}: {}", ran.stdout);
    }
    let checks = lines(&desk.run(&["doctor", "--json"]).stdout);
    assert!(checks.iter().any(|line| line["result"] == "fail" && line["check"] == "workers"), "{checks:?}");
}

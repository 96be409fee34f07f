//! Commands with a running worker: exit codes, doctor, and masking of secrets.

use std::time::Duration;

use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase, eventually};
use serde_json::json;

use crate::fixture::Fixture;

const MAIL: [&str; 9] = ["send", "--to", "ann@example.org", "--subject", "Hi", "--text", "Hello", "--wait", "60s"];

#[tokio::test]
async fn exit_codes_of_sent_refused_and_in_doubt() {
    let server = FakeSmtp::start().await;
    let fixture = Fixture::new().with_smtp(&server).with_templates();
    let _worker = fixture.worker().await;

    let ran = fixture.run(&MAIL);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let status = fixture.status(ran.out());
    assert_eq!((&status["state"], status["attempts"].as_array().map(Vec::len)), (&json!("sent"), Some(1)), "{status}");
    fixture.run(&["cancel", ran.out()]).refused(7, &["too late"]);

    server.fault(Fault::at(FaultPhase::Rcpt, Action::reply(550, "5.1.1 no such user")).times(1));
    let ran = fixture.run(&MAIL);
    assert_eq!(ran.code, 1, "{ran:?}");
    ran.mentions(&["failed", "550", "no such user"]);
    let text = fixture.ok(&["status", ran.out()]);
    assert!(text.contains("is failed") && text.contains("no such user"), "{text}");
    fixture.ok(&["retry", ran.out()]);
    fixture.ok(&["status", ran.out(), "--wait", "60s"]);

    server.fault(Fault::at(FaultPhase::Dot, Action::StoreThenClose).times(1));
    let ran = fixture.run(&[&MAIL[..], &["--queue", "bulk"]].concat());
    assert_eq!(ran.code, 6, "{ran:?}");
    ran.mentions(&["is unknown"]);
    fixture.ok(&["resolve", ran.out(), "sent"]);
    assert_eq!(fixture.status(ran.out())["state"], "sent");
}

#[tokio::test]
async fn a_bulk_is_watched_and_doctor_finds_no_problem() {
    let server = FakeSmtp::start().await;
    let fixture = Fixture::new().with_smtp(&server).with_templates();
    let _worker = fixture.worker().await;
    let csv = "email,name\na@example.org,Żółć\nb@example.org,李雷\nc@example.org,{{ name }}\n";
    let args = ["bulk", "--template", "newsletter", "--csv", "-", "--var", "title=T", "--var", "intro=I", "--watch"];
    let ran = fixture.run_with(&args, csv.as_bytes());
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 1), "{ran:?}");
    ran.mentions(&["3 sent"]);
    assert_eq!(server.wait_for(3, Duration::from_secs(60)).await.len(), 3);
    let batch = fixture.status(ran.out());
    assert_eq!((&batch["done"], &batch["sent"]), (&json!(true), &json!(3)));
    fixture.run(&["cancel", ran.out()]).refused(7, &["too late"]);

    let ran = fixture.run(&["doctor", "--send-to", "ops@example.org"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for line in ["ok   workers: 1 alive", "ok   transport default:", "ok   test mail:"] {
        assert!(ran.stdout.contains(line), "{line}: {}", ran.stdout);
    }
    server.fault(Fault::at(FaultPhase::Rcpt, Action::reply(550, "5.1.1 gone")).times(1));
    let ran = fixture.run_with(&args, b"email,name\nd@example.org,D\ne@example.org,E\n");
    assert_eq!(ran.code, 1, "{ran:?}");
    fixture.ok(&["retry", ran.out()]);
    fixture.ok(&["status", ran.out(), "--wait", "60s"]);
}

/// Neither a login that a server echoes nor control characters of its reply are shown.
#[tokio::test]
async fn an_echoed_login_is_never_shown() {
    const PASSWORD: &str = "correct horse";
    let secrets = [PASSWORD, "Y29ycmVjdCBob3JzZQ", "AGFkYQBjb3JyZWN0IGhvcnNl"];
    let server = FakeSmtp::builder().auth("ada", PASSWORD).start().await;
    let echo = format!("5.7.8 \u{1b}[2J\u{9b}1m\u{202e} not {}", secrets.join(" or "));
    server.fault(Fault::at(FaultPhase::Auth, Action::reply(535, &echo)));
    let fixture = Fixture::new().with_smtp(&server).with("SMTP_USERNAME", "ada").with("SMTP_PASSWORD", PASSWORD);
    let fixture = fixture.with("LOG_LEVEL", "trace");
    let worker = fixture.worker().await;
    let id = fixture.send(&[]);
    eventually(Duration::from_secs(60), "the transport is down", async || {
        fixture.ok(&["workers"]).contains("default down").then_some(())
    })
    .await;
    let mut outputs = vec![worker.stderr()];
    for args in [&["status", &id][..], &["list"], &["workers"], &["doctor"]] {
        for args in [args, &[args, &["--json"]].concat()] {
            let ran = fixture.run(args);
            outputs.push(format!("{}{}", ran.stdout, ran.stderr));
        }
    }
    assert!(outputs[1].contains("not *** or *** or ***") && outputs[7].contains("not *** or ***"), "{outputs:#?}");
    for output in outputs {
        assert!(!secrets.iter().any(|secret| output.contains(secret)), "{output}");
        assert!(!output.chars().any(|c| c != '\n' && postroom_core::needs_escape(c)), "{output:?}");
    }
}

/// Commands show that a transport is down, why, and what to do.
/// A mail with a refused recipient is sent to the others.
#[tokio::test]
async fn a_refused_recipient_is_named() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(FaultPhase::Rcpt, Action::reply(550, "5.1.1 gone")).recipient("gone@example.org"));
    let fixture = Fixture::new().with_smtp(&server);
    let _worker = fixture.worker().await;
    let to = ["send", "--to", "ann@example.org", "gone@example.org", "--subject", "Hi", "--text", "Hello"];
    let ran = fixture.run(&[&to[..], &["--wait", "60s", "--json"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("gone@example.org was refused: 550 5.1.1 gone"), "{ran:?}");
    assert!(!ran.stderr.contains("ann@example.org was refused"), "{ran:?}");
    let id: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let status = fixture.status(id["id"].as_str().expect("an id"));
    assert_eq!(status["recipients"][1]["result"], json!("refused"), "{status}");
}

#[tokio::test]
async fn a_transport_that_is_down_is_shown() {
    let server = FakeSmtp::builder().auth("ada", "right").start().await;
    let fixture = Fixture::new().with_smtp(&server).with("SMTP_USERNAME", "ada").with("SMTP_PASSWORD", "wrong");
    let _process = fixture.worker().await;
    let id = fixture.send(&[]);
    let worker = eventually(Duration::from_secs(60), "the transport is down", async || {
        let line = fixture.ok(&["workers", "--json"]);
        let worker: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        (worker["transports"][0]["state"] == "down").then_some(worker)
    })
    .await;
    let (transport, alert) = (&worker["transports"][0], &worker["alerts"][0]);
    assert_eq!((&transport["name"], &alert["about"]), (&json!("default"), &json!("transport:default")), "{worker}");
    assert!(transport["why"].as_str().is_some_and(|why| why.contains("535")), "{worker}");
    for time in [&transport["since_at"], &transport["next_try_at"], &alert["since_at"]] {
        assert!(time.as_str().is_some_and(|time| time.ends_with('Z')), "{worker}");
    }
    assert!(fixture.ok(&["workers"]).contains("default down"));
    let ran = fixture.run(&["doctor"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let line = ran.stdout.lines().find(|line| line.contains("down for worker")).expect("a line about it");
    for word in ["FAIL transport default", "535", "check SMTP_USERNAME and SMTP_PASSWORD"] {
        assert!(line.contains(word), "{line}");
    }
    let status = fixture.status(&id);
    assert_eq!((&status["attempt"], &status["error"]["code"]), (&json!(0), &json!("account")), "{status}");
}

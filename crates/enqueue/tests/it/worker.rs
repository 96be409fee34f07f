//! With a worker at work: the exit codes of those who wait.

use std::time::Duration;

use postroom_testkit::{Action, FakeSmtp, Fault, Phase, eventually};
use serde_json::json;

use crate::Desk;

const MAIL: [&str; 9] = ["send", "--to", "ann@example.org", "--subject", "Hi", "--text", "Hello", "--wait", "60s"];

#[tokio::test]
async fn sent_refused_and_in_doubt() {
    let server = FakeSmtp::start().await;
    let desk = Desk::new().with_smtp(&server).with_templates();
    let _worker = desk.worker().await;

    let ran = desk.run(&MAIL);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let status = desk.status(ran.out());
    assert_eq!((&status["state"], status["attempts"].as_array().map(Vec::len)), (&json!("sent"), Some(1)), "{status}");
    desk.run(&["cancel", ran.out()]).refused(7, &["too late"]);

    server.fault(Fault::at(Phase::Rcpt, Action::reply(550, "5.1.1 no such user")).times(1));
    let ran = desk.run(&MAIL);
    assert_eq!(ran.code, 1, "{ran:?}");
    ran.says(&["failed", "550", "no such user"]);
    let words = desk.ok(&["status", ran.out()]);
    assert!(words.contains("is failed") && words.contains("no such user"), "{words}");
    desk.ok(&["retry", ran.out()]);
    desk.ok(&["status", ran.out(), "--wait", "60s"]);

    server.fault(Fault::at(Phase::Dot, Action::StoreThenClose).times(1));
    let ran = desk.run(&[&MAIL[..], &["--queue", "bulk"]].concat());
    assert_eq!(ran.code, 6, "{ran:?}");
    ran.says(&["in doubt"]);
    desk.ok(&["resolve", ran.out(), "sent"]);
    assert_eq!(desk.status(ran.out())["state"], "sent");
}

#[tokio::test]
async fn a_watched_bulk_and_a_healthy_doctor() {
    let server = FakeSmtp::start().await;
    let desk = Desk::new().with_smtp(&server).with_templates();
    let _worker = desk.worker().await;
    let csv = "email,name\na@example.org,Żółć\nb@example.org,李雷\nc@example.org,{{ name }}\n";
    let args = ["bulk", "--template", "newsletter", "--csv", "-", "--var", "title=T", "--var", "intro=I", "--watch"];
    let ran = desk.run_with(&args, csv.as_bytes());
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 1), "{ran:?}");
    ran.says(&["3 sent"]);
    assert_eq!(server.wait_for(3, Duration::from_secs(60)).await.len(), 3);
    let batch = desk.status(ran.out());
    assert_eq!((&batch["done"], &batch["sent"]), (&json!(true), &json!(3)));
    desk.run(&["cancel", ran.out()]).refused(7, &["too late"]);

    let ran = desk.run(&["doctor", "--send-to", "ops@example.org"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for line in ["ok   workers: 1 alive", "ok   transport default:", "ok   test mail:"] {
        assert!(ran.stdout.contains(line), "{line}: {}", ran.stdout);
    }
    server.fault(Fault::at(Phase::Rcpt, Action::reply(550, "5.1.1 gone")).times(1));
    let ran = desk.run_with(&args, b"email,name\nd@example.org,D\ne@example.org,E\n");
    assert_eq!(ran.code, 1, "{ran:?}");
    desk.ok(&["retry", ran.out()]);
    desk.ok(&["status", ran.out(), "--wait", "60s"]);
}

/// The login that a server echoes, and what would act on a terminal.
#[tokio::test]
async fn what_a_server_echoes_of_a_login_is_shown_nowhere() {
    const PASSWORD: &str = "correct horse";
    let secrets = [PASSWORD, "Y29ycmVjdCBob3JzZQ", "AGFkYQBjb3JyZWN0IGhvcnNl"];
    let server = FakeSmtp::builder().auth("ada", PASSWORD).start().await;
    let echo = format!("5.7.8 \u{1b}[2J\u{9b}1m\u{202e} not {}", secrets.join(" or "));
    server.fault(Fault::at(Phase::Auth, Action::reply(535, &echo)));
    let desk = Desk::new().with_smtp(&server).with("SMTP_USERNAME", "ada").with("SMTP_PASSWORD", PASSWORD);
    let desk = desk.with("LOG_LEVEL", "trace");
    let worker = desk.worker().await;
    let id = desk.send(&[]);
    eventually(Duration::from_secs(60), "the transport is down", async || {
        desk.ok(&["workers"]).contains("default down").then_some(())
    })
    .await;
    let mut told = vec![worker.stderr()];
    for args in [&["status", &id][..], &["list"], &["workers"], &["doctor"]] {
        for args in [args, &[args, &["--json"]].concat()] {
            let ran = desk.run(args);
            told.push(format!("{}{}", ran.stdout, ran.stderr));
        }
    }
    assert!(told[1].contains("not *** or *** or ***") && told[7].contains("not *** or ***"), "{told:#?}");
    for told in told {
        assert!(!secrets.iter().any(|secret| told.contains(secret)), "{told}");
        assert!(!told.chars().any(|c| c != '\n' && postroom_core::needs_escape(c)), "{told:?}");
    }
}

/// Whoever looks sees that no mail leaves, why, and what to do.
#[tokio::test]
async fn a_transport_that_is_down_is_shown() {
    let server = FakeSmtp::builder().auth("ada", "right").start().await;
    let desk = Desk::new().with_smtp(&server).with("SMTP_USERNAME", "ada").with("SMTP_PASSWORD", "wrong");
    let _worker = desk.worker().await;
    let id = desk.send(&[]);
    let told = eventually(Duration::from_secs(60), "the transport is down", async || {
        let line = desk.ok(&["workers", "--json"]);
        let worker: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        (worker["transports"][0]["state"] == "down").then_some(worker)
    })
    .await;
    let (transport, alert) = (&told["transports"][0], &told["alerts"][0]);
    assert_eq!((&transport["name"], &alert["about"]), (&json!("default"), &json!("transport:default")), "{told}");
    assert!(transport["why"].as_str().is_some_and(|why| why.contains("535")), "{told}");
    for time in [&transport["since_at"], &transport["next_try_at"], &alert["since_at"]] {
        assert!(time.as_str().is_some_and(|time| time.ends_with('Z')), "{told}");
    }
    assert!(desk.ok(&["workers"]).contains("default down"));
    let ran = desk.run(&["doctor"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let line = ran.stdout.lines().find(|line| line.contains("down for worker")).expect("a line about it");
    for word in ["FAIL transport default", "535", "check its server, login"] {
        assert!(line.contains(word), "{line}");
    }
    let status = desk.status(&id);
    assert_eq!((&status["attempt"], &status["error"]["code"]), (&json!(0), &json!("account")), "{status}");
}

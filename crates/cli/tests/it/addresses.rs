//! Address fields of the command line: lists, one address, duplicates, envelope senders.

use postroom_testkit::FakeSmtp;
use serde_json::{Value, json};

use crate::fixture::Fixture;

const BULK: [&str; 7] = ["bulk", "--template", "newsletter", "--var", "title=T", "--var", "intro=I"];

fn stored(fixture: &Fixture, id: &str) -> Value {
    let payload = fixture.stored("", id);
    serde_json::from_str(payload.lines().nth(1).expect("a mail")).expect("JSON")
}

/// Runs a bulk of a CSV with a column `email`; returns what it printed on standard error.
fn bulk_of(fixture: &Fixture, addresses: &[&str], more: &[&str]) -> String {
    let lines: String = addresses.iter().map(|address| format!("\"{}\",x\n", address.replace('"', "\"\""))).collect();
    let args = [&BULK[..], &["--csv", "-"], more].concat();
    fixture.run_with(&args, format!("email,name\n{lines}").as_bytes()).stderr
}

#[test]
fn a_flag_takes_a_list() {
    let fixture = Fixture::new();
    let lists =
        ["--to", "Ann <ann@example.org>, Acme, Inc. <info@example.org>;", "--cc", "a@example.org,b@example.org"];
    let more = ["--bcc", "Team: c@example.org;", "--reply-to", "mailto:d@example.org", "--subject", "s", "--text", "t"];
    let id = fixture.ok(&[&["send"], &lists[..], &more[..], &["--from", "Lee, Ann <ann@example.org>"]].concat());
    let expected = json!({
        "from": "\"Lee, Ann\" <ann@example.org>",
        "to": ["Ann <ann@example.org>", "\"Acme, Inc.\" <info@example.org>"],
        "cc": ["a@example.org", "b@example.org"], "bcc": ["c@example.org"], "reply_to": ["d@example.org"],
        "subject": "s", "text": "t",
    });
    assert_eq!(stored(&fixture, &id), expected);
    let args =
        ["send", "--to", "a@example.org", "--subject", "s", "--text", "t", "--from", "a@example.org, b@example.org"];
    fixture.run(&args).refused(2, &["--from", "two addresses"]);
    let args = ["send", "--to", "a@example.org, ben", "--subject", "s", "--text", "t"];
    fixture.run(&args).refused(2, &["--to", "\"ben\" is not an e-mail address: it has no @"]);
}

#[test]
fn a_row_has_one_address() {
    let fixture = Fixture::new().with_templates();
    let rows = [
        "good@example.org",
        "Ann <ann@example.org>, Ben <ben@example.org>",
        "ann\u{200b}lee@example.org",
        "\u{feff} mailto:carl@example.org;\u{a0}",
        "\"dora lee\"@[192.0.2.5]",
    ];
    let stderr = bulk_of(&fixture, &rows, &[]);
    for words in ["line 3: ", "has two addresses or more", "line 4: ", "the invisible character U+200B before the @"] {
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
    assert!(stderr.contains("3 mails queued, 2 invalid"), "{stderr}");
    let jobs = fixture.ok(&["list", "--json"]);
    for address in ["good@example.org", "carl@example.org", "\\\"dora lee\\\"@[192.0.2.5]"] {
        assert!(jobs.contains(address), "{address}: {jobs}");
    }
}

#[test]
fn duplicates_ignore_the_case_of_letters() {
    let fixture = Fixture::new().with_templates();
    let rows = ["Ann@Example.org", "ann@example.org", "ANN@EXAMPLE.ORG", "\"ann\"@example.org", "ben@example.org"];
    let stderr = bulk_of(&fixture, &rows, &[]);
    assert!(stderr.contains("2 mails queued, 3 skipped as duplicates"), "{stderr}");
    assert!(fixture.ok(&["list", "--json"]).contains("Ann@example.org"), "the stored address keeps its case");
    let stderr = bulk_of(&fixture, &rows, &["--allow-duplicates"]);
    assert!(stderr.contains("5 mails queued"), "{stderr}");
}

#[tokio::test]
async fn an_envelope_sender_is_a_flag() {
    let server = FakeSmtp::start().await;
    let fixture = Fixture::new().with_smtp(&server).with_templates();
    let id = fixture.send(&["--envelope-from", "bounces+{id}@Example.org"]);
    assert_eq!(stored(&fixture, &id)["envelope_from"], "bounces+{id}@example.org");
    let to = ["--to", "a@example.org", "--var", "name=A"];
    let batch = fixture.ok(&[&BULK[..], &to[..], &["--envelope-from", "<>"]].concat());
    assert!(fixture.stored("c:", &batch).contains(r#""envelope_from":"<>""#));
    let sync = ["send", "--sync", "--to", "a@example.org", "--subject", "s", "--text", "t", "--envelope-from"];
    let message_id = fixture.ok(&[&sync[..], &["b+{id}@example.org"]].concat());
    let expected = format!("b+{}@example.org", message_id.split('@').next().expect("an id"));
    assert_eq!(server.received()[0].mail_from, expected);
    fixture.run(&[&sync[..], &["nobody"]].concat()).refused(2, &["--envelope-from", "an address or <>"]);
    let long = format!("{}{{id}}@example.org", "b".repeat(40));
    let args = ["send", "--to", "a@example.org", "--subject", "s", "--text", "t", "--envelope-from", &long];
    fixture.run(&args).refused(2, &["envelope_from", "longer than 64"]);
    fixture
        .run(&[&BULK[..], &to[..], &["--envelope-from", &long]].concat())
        .refused(2, &["envelope_from", "longer than 64"]);
}

#[test]
fn a_provider_without_envelope_is_named_at_the_hand_over() {
    let fixture = Fixture::new().with_templates().with("MAIL_TRANSPORT", "resend").with("RESEND_API_KEY", "re_1");
    let words = "transport default of queue emails has no envelope: envelope_from has no effect there";
    let mail = ["send", "--to", "a@example.org", "--subject", "s", "--text", "t"];
    let ran = fixture.run(&[&mail[..], &["--envelope-from", "bounces@example.org"]].concat());
    assert!(ran.code == 0 && ran.stderr.matches(words).count() == 1, "{ran:?}");
    let ran = fixture.run(&mail);
    assert!(ran.code == 0 && !ran.stderr.contains("envelope"), "{ran:?}");
}

/// A worker without a sender is reported when the mail is handed over, and by doctor.
#[tokio::test]
async fn a_missing_sender_is_named_at_the_hand_over() {
    let server = FakeSmtp::start().await;
    let fixture = Fixture::new().with_templates().with("SMTP_HOST", &server.host());
    let fixture = fixture.with("SMTP_PORT", &server.port().to_string()).with("SMTP_SECURITY", "none");
    let _worker = fixture.worker().await;
    let words = "no worker of the queue emails has SMTP_MAIL_FROM: mail without a sender waits";
    let mail = ["send", "--to", "a@example.org", "--subject", "s", "--text", "t"];
    let ran = fixture.run(&mail);
    assert!(ran.code == 0 && ran.stderr.contains(words), "{ran:?}");
    let ran = fixture.run(&[&mail[..], &["--from", "b@example.org"]].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let ran = fixture.run(&[&BULK[..], &["--to", "a@example.org", "--var", "name=A"]].concat());
    assert!(ran.stderr.contains("no worker of the queue bulk has SMTP_MAIL_FROM"), "{ran:?}");
    let ran = fixture.run(&["doctor"]);
    assert!(ran.stdout.contains("has no SMTP_MAIL_FROM: mail that names no sender waits"), "{ran:?}");
}

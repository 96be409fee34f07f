//! Hostile mails in `postroom bulk`: every queued mail is sent, every other row is reported.

use std::time::Duration;

use postroom_testkit::{
    FakeSmtp,
    hostile::{HostileMails, TEMPLATES, mail_count},
};
use serde_json::{Value, json};

use crate::fixture::{CommandOutput, Fixture};

/// Number of valid rows at the beginning: a template that does not render with one of the first
/// rows stops the bulk.
const VALID_ROWS: usize = 10;

/// Writes the templates of hostile mails.
fn write_templates(fixture: &Fixture) {
    for (path, text) in TEMPLATES {
        fixture.file(&format!("templates/{path}"), text);
    }
}

fn with_server(server: &FakeSmtp) -> Fixture {
    let fixture = Fixture::new().with_smtp(server).with("MAX_MESSAGE_SIZE", "200kB");
    write_templates(&fixture);
    fixture
}

/// Returns the number of rejected rows; checks that the report is short and names lines.
fn rejected(ran: &CommandOutput) -> usize {
    let (reports, summary) = ran.stderr.trim_end().rsplit_once('\n').expect("a report and a summary");
    assert!(reports.lines().all(|line| line.len() < 5_000) && reports.lines().count() < 400, "{}", ran.stderr);
    let reported = reports.lines().filter(|line| line.starts_with("line ") || line.starts_with("lines "));
    assert!(reported.count() > 0, "{}", ran.stderr);
    let invalid = summary.split(", ").find_map(|part| part.strip_suffix(" invalid"));
    invalid.expect("a number of invalid rows").parse().expect("a number")
}

/// Checks that every queued mail is sent and that every other row is rejected.
fn assert_all_sent(fixture: &Fixture, server: &FakeSmtp, ran: &CommandOutput, rows: usize) {
    assert_eq!(ran.code, 0, "{}", ran.stderr.lines().last().unwrap_or_default());
    let rejected = rejected(ran);
    let status = fixture.run(&["status", ran.out(), "--wait", "300s", "--json"]);
    let batch: Value = serde_json::from_str(&status.stdout).expect("JSON");
    let queued = rows - rejected;
    assert!(queued > rows / 4 && rejected > rows / 20, "{queued} of {rows} rows were queued");
    for (name, value) in [("total", queued), ("sent", queued), ("failed", 0), ("unknown", 0), ("invalid", rejected)] {
        let failed = || fixture.ok(&["list", "--state", "failed", "--json"]);
        assert_eq!(batch[name], json!(value), "{name} of {batch}: {}", failed());
    }
    assert_eq!(server.received().len(), queued);
}

#[tokio::test]
async fn complete_mails_from_json_lines() {
    let server = FakeSmtp::start().await;
    let fixture = with_server(&server);
    let mut generator = HostileMails::new(21);
    let valid = json!({"to": "a@example.org", "subject": "s", "text": "t"}).to_string() + "\n";
    let rows = mail_count(3_000);
    let lines: String = (0..rows - VALID_ROWS).map(|_| generator.mail().to_string() + "\n").collect();
    fixture.file("mails.jsonl", valid.repeat(VALID_ROWS) + &lines);
    let _worker = fixture.worker().await;
    let ran = fixture.run(&["bulk", "--jsonl", "mails.jsonl", "--allow-duplicates"]);
    assert_all_sent(&fixture, &server, &ran, rows);
}

#[tokio::test]
async fn variables_from_a_csv() {
    let server = FakeSmtp::start().await;
    let fixture = with_server(&server);
    let mut generator = HostileMails::new(22);
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let rows = mail_count(2_000);
    let mut csv = "email,name,text\n".to_owned() + &"a@example.org,Ann,t\n".repeat(VALID_ROWS);
    for _ in 0..rows - VALID_ROWS {
        let value = generator.variable();
        let text = value.as_str().unwrap_or("x");
        // With a line break, the number of lines would differ from the number of rows. A file with
        // a NUL character is refused as a whole.
        let plain = |text: &str| quoted(&text.replace(['\r', '\n', '\0'], " "));
        let (address, name) = (generator.address(), generator.line(998));
        csv += &format!("{},{},{}\n", plain(&address), plain(&name), plain(text));
    }
    fixture.file("people.csv", csv);
    let _worker = fixture.worker().await;
    let ran = fixture.run(&["bulk", "--template", "greeting", "--csv", "people.csv", "--allow-duplicates"]);
    assert_all_sent(&fixture, &server, &ran, rows);
    let sent = server.wait_for(1, Duration::from_secs(60)).await;
    assert!(sent.iter().all(|mail| mail.data.split(|byte| *byte == b'\n').all(|line| line.len() <= 999)));
}

/// Late rows are checked too, not only the first ones.
#[test]
fn a_late_bad_row_is_reported_with_its_field() {
    let fixture = Fixture::new();
    write_templates(&fixture);
    let valid = "{\"to\": \"a@example.org\", \"subject\": \"s\", \"text\": \"t\"}\n".repeat(30);
    let long = json!({"to": "b@example.org", "subject": "s".repeat(999), "text": "t"});
    let named = json!({"to": "c@example.org", "template": "greeting", "vars": {"name": "n".repeat(999), "text": "t"}});
    fixture.file("mails.jsonl", format!("{valid}{long}\n{named}\n"));
    let ran = fixture.run(&["bulk", "--jsonl", "mails.jsonl", "--allow-duplicates"]);
    ran.mentions(&["line 31: subject: ", "999 octets; it may have 998", "line 32: subject: "]);
    assert_eq!((ran.code, rejected(&ran)), (0, 2));
    assert_eq!(fixture.status(ran.out())["name"], "bulk");
}

//! The same through `postroom bulk`, Redis and a worker: what is queued is sent, what is not is named by its line.

use std::{collections::BTreeSet, time::Duration};

use postroom_testkit::FakeSmtp;
use serde_json::{Value, json};

use super::{Maker, field, number, write_templates};
use crate::{Desk, desk::Ran};

/// Rows that no template stops, since one that does not fit the first rows stops all.
const SOUND: usize = 10;

fn desk(server: &FakeSmtp) -> Desk {
    let desk = Desk::new().with_smtp(server).with("MAX_MESSAGE_SIZE", "200kB");
    write_templates(&desk);
    desk
}

/// Line numbers of the rows that were refused, each with what is wrong.
fn refused(ran: &Ran) -> BTreeSet<usize> {
    let told = ran.stderr.lines().filter_map(|line| line.strip_prefix("line ")?.split_once(": "));
    let mut lines = BTreeSet::new();
    for (line, problem) in told {
        assert!(!problem.is_empty() && problem.len() < 5_000, "{line}: {problem}");
        assert!(lines.insert(line.parse().expect("a number")), "line {line} is told twice");
    }
    lines
}

/// What was queued is sent, to the last mail, and all else is named.
fn assert_all_sent(desk: &Desk, server: &FakeSmtp, ran: &Ran, rows: usize) {
    assert_eq!(ran.code, 0, "{}", ran.stderr.lines().last().unwrap_or_default());
    let refused = refused(ran).len();
    let status = desk.run(&["status", ran.out(), "--wait", "300s", "--json"]);
    let batch: Value = serde_json::from_str(&status.stdout).expect("JSON");
    let queued = rows - refused;
    assert!(queued > rows / 4 && refused > rows / 20, "{queued} of {rows} rows were queued");
    for (name, value) in [("total", queued), ("sent", queued), ("failed", 0), ("unknown", 0), ("invalid", refused)] {
        let failed = || desk.ok(&["list", "--state", "failed", "--json"]);
        assert_eq!(batch[name], json!(value), "{name} of {batch}: {}", failed());
    }
    assert_eq!(server.received().len(), queued);
}

#[tokio::test]
async fn whole_mails_from_json_lines() {
    let server = FakeSmtp::start().await;
    let desk = desk(&server);
    let mut maker = Maker::new(21);
    let sound = json!({"to": "a@example.org", "subject": "s", "text": "t"}).to_string() + "\n";
    let rows = number(3_000);
    let lines: String = (0..rows - SOUND).map(|_| maker.mail().to_string() + "\n").collect();
    desk.file("mails.jsonl", sound.repeat(SOUND) + &lines);
    let _worker = desk.worker().await;
    let ran = desk.run(&["bulk", "--jsonl", "mails.jsonl", "--allow-duplicates"]);
    assert_all_sent(&desk, &server, &ran, rows);
}

#[tokio::test]
async fn variables_from_a_csv() {
    let server = FakeSmtp::start().await;
    let desk = desk(&server);
    let mut maker = Maker::new(22);
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let rows = number(2_000);
    let mut csv = "email,name,text\n".to_owned() + &"a@example.org,Ann,t\n".repeat(SOUND);
    for _ in 0..rows - SOUND {
        let value = maker.variable();
        let text = value.as_str().unwrap_or("x");
        // A line end would make the lines of the file another number than its rows.
        let name = maker.line(998).replace(['\r', '\n'], " ");
        csv += &format!(
            "{},{},{}\n",
            quoted(&maker.address().replace(['\r', '\n'], " ")),
            quoted(&name),
            quoted(&text.replace(['\r', '\n'], " "))
        );
    }
    desk.file("people.csv", csv);
    let _worker = desk.worker().await;
    let ran = desk.run(&["bulk", "--template", "greeting", "--csv", "people.csv", "--allow-duplicates"]);
    assert_all_sent(&desk, &server, &ran, rows);
    let sent = server.wait_for(1, Duration::from_secs(60)).await;
    assert!(sent.iter().all(|mail| mail.data.split(|byte| *byte == b'\n').all(|line| line.len() <= 999)));
}

/// The library's bulk checks each mail, not only the first ones.
#[test]
fn a_late_row_is_named_by_its_field() {
    let desk = Desk::new();
    write_templates(&desk);
    let sound = "{\"to\": \"a@example.org\", \"subject\": \"s\", \"text\": \"t\"}\n".repeat(30);
    let long = json!({"to": "b@example.org", "subject": "s".repeat(999), "text": "t"});
    let named = json!({"to": "c@example.org", "template": "greeting", "vars": {"name": "n".repeat(999), "text": "t"}});
    desk.file("mails.jsonl", format!("{sound}{long}\n{named}\n"));
    let ran = desk.run(&["bulk", "--jsonl", "mails.jsonl", "--allow-duplicates"]);
    ran.says(&["line 31: subject: ", "999 octets; it may have 998", "line 32: subject: "]);
    assert_eq!((ran.code, refused(&ran).len()), (0, 2));
    assert_eq!(field(&desk.status(ran.out()), "name"), Some("bulk"));
}

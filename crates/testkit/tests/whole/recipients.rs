//! A thousand recipients with names that break things, from a CSV through command line and worker to Postfix's
//! `smtp-sink`, and read back by somebody else's parser.

use std::process::Command;

use serde_json::json;

use crate::{
    Fixture,
    fixture::{needed, root},
    sink::SmtpSink,
};

const NUMBER: usize = 1_000;
/// The line of the CSV, counted as an editor does, that is no recipient.
const BAD_LINE: usize = 501;
const NAMES: [&str; 10] = [
    "Żółć",
    "Ёлка",
    "İpek Ağaoğlu",
    "O'Brien & <b>",
    "李雷",
    "🎉 👩‍👩‍👧",
    "{{ name }}",
    "Ann \"The Pen\" Smith, Esq.",
    "דוד כהן",
    "{% raw %} =?utf-8?q?x?= &amp; \\",
];

#[tokio::test]
async fn a_thousand_names_arrive_exactly() {
    let sink = SmtpSink::start().await;
    let fixture = Fixture::new()
        .with("SMTP_HOST", "127.0.0.1")
        .with("SMTP_PORT", &sink.port().to_string())
        .with("SMTP_SECURITY", "none");
    fixture.file("templates/greeting/subject.txt", "{{ name }}, this is number {{ number }}\n");
    fixture.file("templates/greeting/body.txt", "Hello {{ name }}!\n\nYou are number {{ number }}.\n");
    fixture.file("templates/greeting/body.html", "<p>Hello {{ name }}!</p>\n");
    fixture.file("people.csv", &csv());
    let expected = fixture.file("expected.json", &expected().to_string());
    let _worker = fixture.worker().await;

    let (batch, said) = fixture.ok(&["bulk", "--template", "greeting", "--csv", "people.csv"]);
    assert!(said.contains(&format!("line {BAD_LINE}: ")) && said.contains("not-an-address"), "{said}");
    let report = fixture.json(&["status", &batch, "--wait", "120s"]);
    for (field, value) in [("total", NUMBER), ("sent", NUMBER), ("invalid", 1), ("failed", 0), ("unknown", 0)] {
        assert_eq!(report[field], json!(value), "{field}: {report}");
    }
    assert_eq!(report["done"], json!(true), "{report}");

    let script = root().join("crates/testkit/tests/whole/read_back.py");
    let output = Command::new(needed("python3")).arg(script).arg(sink.folder()).arg(expected).output();
    let output = output.expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.trim(), format!("{NUMBER} mails are exact"));
}

/// Each name with its number; the first few are bare.
fn people() -> impl Iterator<Item = (String, String)> {
    (0..NUMBER).map(|n| {
        let name = NAMES[n % NAMES.len()];
        let name = if n < NAMES.len() { name.to_owned() } else { format!("{name} {n}") };
        (format!("user{n}@example.org"), name)
    })
}

fn csv() -> String {
    let row = |(number, (address, name)): (usize, (String, String))| {
        format!("{address},\"{}\",{number}", name.replace('"', "\"\""))
    };
    let mut lines = vec!["email,name,number".to_owned()];
    lines.extend(people().enumerate().map(row));
    lines.insert(BAD_LINE - 1, "not-an-address,Nobody,0".to_owned());
    lines.join("\n") + "\n"
}

fn expected() -> serde_json::Value {
    let mail = |(number, (address, name)): (usize, (String, String))| {
        let subject = format!("{name}, this is number {number}");
        let text = format!("Hello {name}!\n\nYou are number {number}.\n");
        (address, json!({ "subject": subject, "text": text, "html": format!("Hello {name}!") }))
    };
    serde_json::Value::Object(people().enumerate().map(mail).collect())
}

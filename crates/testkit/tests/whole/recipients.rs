//! A thousand recipients with unusual names: from a CSV through command line and worker to
//! Postfix's `smtp-sink`, and parsed by Python.

use std::process::Command;

use serde_json::json;

use crate::{
    Fixture,
    fixture::{needed, root},
    sink::SmtpSink,
};

const NUMBER: usize = 1_000;
/// Line of the CSV without a valid address, counted from 1.
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

    let (batch, stderr) = fixture.ok(&["bulk", "--template", "greeting", "--csv", "people.csv"]);
    assert!(stderr.contains(&format!("line {BAD_LINE}: ")) && stderr.contains("not-an-address"), "{stderr}");
    let report = fixture.json(&["status", &batch, "--wait", "120s"]);
    for (field, value) in [("total", NUMBER), ("sent", NUMBER), ("invalid", 1), ("failed", 0), ("unknown", 0)] {
        assert_eq!(report[field], json!(value), "{field}: {report}");
    }
    assert_eq!(report["done"], json!(true), "{report}");

    let script = root().join("crates/testkit/tests/whole/read_back.py");
    let output = Command::new(needed("python3")).arg(script).arg(sink.folder()).arg(expected).output();
    let output = output.expect("python3 runs");
    let result = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{result}");
    assert_eq!(result.trim(), format!("{NUMBER} mails are exact"));
}

/// Returns addresses and names. All names but the first ten have a number.
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

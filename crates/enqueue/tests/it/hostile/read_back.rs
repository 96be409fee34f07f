//! Composed hostile mails are parsed by Python's `email` module.

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use postroom_enqueue::Mail;
use postroom_mail::{Identity, Rendered, compose};
use postroom_testkit::hostile::HostileMails;
use serde_json::{Value, json};

/// Parses each message and compares it with the expected fields. Before 3.13, Python puts spaces
/// between the encoded words of a name.
const SCRIPT: &str = r#"
import base64, email, email.policy, json, sys

def mailboxes(mail, name):
    return [[a.display_name, a.addr_spec] for h in mail.get_all(name, []) for a in h.addresses]

def matches(found, expected):
    loose = lambda list: [["".join(name.split()), address] for name, address in list]
    return found == expected or loose(found) == loose(expected)

done = 0
for line in sys.stdin:
    expected = json.loads(line)
    mail = email.message_from_bytes(base64.b64decode(expected["message"]), policy=email.policy.default)
    assert str(mail["subject"]) == expected["subject"], (mail["subject"], expected["subject"])
    for name in ["from", "to", "cc", "reply-to"]:
        assert matches(mailboxes(mail, name), expected[name]), (name, mailboxes(mail, name), expected[name])
    for name, value in expected["headers"].items():
        assert str(mail[name]) == value, (name, mail[name], value)
    files = [part.get_filename() for part in mail.walk() if part.get_filename() is not None]
    # The parser strips file names.
    expected_files = [name.strip() for name in expected["files"]]
    assert sorted(files) == sorted(expected_files), (files, expected_files)
    done += 1
print(done)
"#;

#[test]
fn another_parser_reads_the_expected_fields() {
    let mut generator = HostileMails::new(31);
    let mails = std::iter::repeat_with(|| serde_json::from_value::<Mail>(generator.mail()));
    let expected: Vec<Value> =
        mails.flatten().filter(can_be_compared).filter_map(|mail| expected(&mail)).take(500).collect();
    let lines: String = expected.iter().map(|fields| format!("{fields}\n")).collect();
    let mut python = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    // The script ends early if it finds a difference.
    let _ = python.stdin.take().expect("a pipe").write_all(lines.as_bytes());
    let output = python.wait_with_output().expect("python3 ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "500");
}

/// Returns false for a mail that Python reads differently: raw UTF-8 in an address, or control
/// characters.
fn can_be_compared(mail: &Mail) -> bool {
    let mailboxes = [&mail.to, &mail.cc, &mail.reply_to].into_iter().flatten().chain(&mail.from);
    let mut texts = mail.headers.values().filter_map(Value::as_str).chain(mail.subject.as_deref());
    mailboxes.into_iter().all(|mailbox| mailbox.address.as_str().is_ascii())
        && texts.all(|text| !text.chars().any(char::is_control))
}

/// Composes the mail; returns the message with the fields that a parser should read.
fn expected(mail: &Mail) -> Option<Value> {
    let rendered = Rendered::literal(mail.subject.as_deref()?, mail.text.as_deref(), mail.html.as_deref());
    let identity = Identity {
        message_id: "1@example.org".to_owned(),
        date_ms: 0,
        boundary_seed: "seed".to_owned(),
        generation: 0,
    };
    let subject = rendered.subject.clone();
    let sender = "Shop <shop@example.org>".parse().expect("a sender");
    let message = compose(&Arc::new(mail.clone()), rendered, &identity, Some(&sender)).ok()?;
    let mailboxes = |list: &[postroom_enqueue::Mailbox]| -> Value {
        list.iter().map(|one| json!([one.name.as_deref().unwrap_or_default(), one.address.as_str()])).collect()
    };
    Some(json!({
        "message": STANDARD.encode(&message.bytes),
        "subject": subject,
        "from": mailboxes(std::slice::from_ref(mail.from.as_ref().unwrap_or(&sender))),
        "to": mailboxes(&mail.to), "cc": mailboxes(&mail.cc), "reply-to": mailboxes(&mail.reply_to),
        "headers": mail.headers,
        "files": mail.attachments.iter().map(|file| &file.filename).collect::<Vec<_>>(),
    }))
}

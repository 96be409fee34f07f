//! Composed hostile mails are parsed by Python's `email` module.

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use postroom_core::{FieldBody, header_fields};
use postroom_enqueue::Mail;
use postroom_mail::{Identity, Rendered, compose};
use postroom_testkit::hostile::{HostileMails, mail_count};
use serde_json::{Value, json};

/// Parses each message and compares it with the expected fields. Before 3.13, Python puts spaces
/// between the encoded words of a name.
const SCRIPT: &str = r#"
import base64, email, email.headerregistry, email.policy, json, re, sys

registry = email.headerregistry.HeaderRegistry()
registry.map_to_type("disposition-notification-to", email.headerregistry.AddressHeader)
policy = email.policy.default.clone(header_factory=registry)

def mailboxes(mail, name):
    return [[a.display_name, a.addr_spec] for h in mail.get_all(name, []) for a in h.addresses]

def matches(found, expected):
    loose = lambda list: [["".join(name.split()), address] for name, address in list]
    return found == expected or loose(found) == loose(expected)

def literal(mail, name):
    values = [value for key, value in mail.raw_items() if key.lower() == name.lower()]
    return re.sub(">, +<", ">,<", "".join(re.split("\r\n|\r|\n", str(values[0]))).strip())

done = 0
for line in sys.stdin:
    expected = json.loads(line)
    raw = base64.b64decode(expected["message"])
    for row in raw.split(b"\r\n"):
        assert len(row) <= 998 and b"\r" not in row and b"\n" not in row, row
    mail = email.message_from_bytes(raw, policy=policy)
    assert str(mail["subject"]) == expected["subject"], (mail["subject"], expected["subject"])
    for name, value in expected["mailboxes"].items():
        assert matches(mailboxes(mail, name), value), (name, mailboxes(mail, name), value)
    for name, value in expected["texts"].items():
        assert str(mail[name]) == value, (name, mail[name], value)
    for name, value in expected["literals"].items():
        assert literal(mail, name) == re.sub(">, +<", ">,<", value), (name, literal(mail, name), value)
    parts = [part for part in mail.walk() if part.get_content_disposition() is not None]
    # `get_filename` removes angle brackets around a name.
    files = [part["content-disposition"].params["filename"] for part in parts]
    assert sorted(files) == sorted(expected["files"]), (files, expected["files"])
    # The parser may insert blanks between two encoded words in quotes.
    names = ["".join(part["content-type"].params["name"].split()) for part in parts]
    assert sorted(names) == sorted("".join(name.split()) for name in expected["files"]), (names, expected["files"])
    done += 1
print(done)
"#;

#[test]
fn another_parser_reads_the_expected_fields() {
    let (number, mut generator) = (mail_count(500), HostileMails::new(31));
    let mails = std::iter::repeat_with(|| serde_json::from_value::<Mail>(generator.mail()));
    let expected: Vec<Value> =
        mails.flatten().filter(can_be_compared).filter_map(|mail| expected(&mail)).take(number).collect();
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
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), number.to_string());
}

/// Returns false for a mail that Python reads differently: raw UTF-8 in an address, or control
/// characters.
fn can_be_compared(mail: &Mail) -> bool {
    let forms: Vec<FieldBody<'_>> = header_fields(&mail.headers).filter_map(|form| Some(form.ok()?.1)).collect();
    let listed = forms.iter().flat_map(|form| match form {
        FieldBody::Mailboxes(list) => list.as_slice(),
        _ => &[],
    });
    let mailboxes = [&mail.to, &mail.cc, &mail.reply_to].into_iter().flatten().chain(&mail.from).chain(listed);
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
    let mut addresses = json!({
        "from": mailboxes(std::slice::from_ref(mail.from.as_ref().unwrap_or(&sender))),
        "to": mailboxes(&mail.to), "cc": mailboxes(&mail.cc), "reply-to": mailboxes(&mail.reply_to),
    });
    let (mut texts, mut literals) = (json!({}), json!({}));
    for (name, form) in header_fields(&mail.headers).flatten() {
        match form {
            FieldBody::Mailboxes(list) => addresses[name] = mailboxes(&list),
            FieldBody::Literal(value) => literals[name] = json!(value),
            FieldBody::Text(text) => texts[name] = json!(text),
            FieldBody::Named { .. } => {}
        }
    }
    Some(json!({
        "message": STANDARD.encode(&message.bytes),
        "subject": subject,
        "mailboxes": addresses, "texts": texts, "literals": literals,
        "files": mail.attachments.iter().map(|file| file.sent_name()).collect::<Vec<_>>(),
    }))
}

//! What is composed from hostile mails, read by Python's `email`.

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use postroom_enqueue::Mail;
use postroom_mail::{Identity, Rendered, compose};
use serde_json::{Value, json};

use super::Maker;

/// Compares what it reads with what was meant. Where a name takes several encoded words, Python before 3.13 puts spaces between them.
const SCRIPT: &str = r#"
import base64, email, email.policy, json, sys

def people(mail, name):
    return [[a.display_name, a.addr_spec] for h in mail.get_all(name, []) for a in h.addresses]

def near(found, wanted):
    loose = lambda list: [["".join(name.split()), address] for name, address in list]
    return found == wanted or loose(found) == loose(wanted)

done = 0
for line in sys.stdin:
    wanted = json.loads(line)
    mail = email.message_from_bytes(base64.b64decode(wanted["message"]), policy=email.policy.default)
    assert str(mail["subject"]) == wanted["subject"], (mail["subject"], wanted["subject"])
    for name in ["from", "to", "cc", "reply-to"]:
        assert near(people(mail, name), wanted[name]), (name, people(mail, name), wanted[name])
    for name, value in wanted["headers"].items():
        assert str(mail[name]) == value, (name, mail[name], value)
    files = [part.get_filename() for part in mail.walk() if part.get_filename() is not None]
    # It strips them.
    wanted_files = [name.strip() for name in wanted["files"]]
    assert sorted(files) == sorted(wanted_files), (files, wanted_files)
    done += 1
print(done)
"#;

#[test]
fn somebody_elses_parser_reads_what_was_meant() {
    let mut maker = Maker::new(31);
    let mails = std::iter::repeat_with(|| serde_json::from_value::<Mail>(maker.mail()));
    let wanted: Vec<Value> =
        mails.flatten().filter(can_be_compared).filter_map(|mail| wanted(&mail)).take(500).collect();
    let lines: String = wanted.iter().map(|wanted| format!("{wanted}\n")).collect();
    let mut python = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is there");
    // Whoever finds a difference ends early.
    let _ = python.stdin.take().expect("a pipe").write_all(lines.as_bytes());
    let output = python.wait_with_output().expect("python3 ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "500");
}

/// Python refuses raw UTF-8 in an address, and reads no control character as it is.
fn can_be_compared(mail: &Mail) -> bool {
    let mailboxes = [&mail.to, &mail.cc, &mail.reply_to].into_iter().flatten().chain(&mail.from);
    let mut texts = mail.headers.values().filter_map(Value::as_str).chain(mail.subject.as_deref());
    mailboxes.into_iter().all(|mailbox| mailbox.address.as_str().is_ascii())
        && texts.all(|text| !text.chars().any(char::is_control))
}

fn wanted(mail: &Mail) -> Option<Value> {
    let words = Rendered::literal(mail.subject.as_deref()?, mail.text.as_deref(), mail.html.as_deref());
    let identity = Identity {
        message_id: "1@example.org".to_owned(),
        date_ms: 0,
        boundary_seed: "seed".to_owned(),
        generation: 0,
    };
    let subject = words.subject.clone();
    let sender = "Shop <shop@example.org>".parse().expect("a sender");
    let message = compose(&Arc::new(mail.clone()), words, &identity, Some(&sender)).ok()?;
    let people = |list: &[postroom_enqueue::Mailbox]| -> Value {
        list.iter().map(|one| json!([one.name.as_deref().unwrap_or_default(), one.address.as_str()])).collect()
    };
    Some(json!({
        "message": STANDARD.encode(&message.bytes),
        "subject": subject,
        "from": people(std::slice::from_ref(mail.from.as_ref().unwrap_or(&sender))),
        "to": people(&mail.to), "cc": people(&mail.cc), "reply-to": people(&mail.reply_to),
        "headers": mail.headers,
        "files": mail.attachments.iter().map(|file| &file.filename).collect::<Vec<_>>(),
    }))
}

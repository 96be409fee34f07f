//! Mailboxes that are read back from a composed message by two parsers that share no code with the
//! composer.

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
};

use fastrand::Rng;
use mail_parser::{Address, MessageParser};
use postroom_core::{Mail, Mailbox};
use postroom_mail::{Rendered, compose};
use serde_json::{Value, json};

use crate::identity;

/// Number of messages, each with several mailboxes.
const MESSAGES: usize = 400;

/// Prints the mailboxes of each message, one line of JSON each. Before 3.13, Python puts spaces
/// between the encoded words of a name.
const SCRIPT: &str = r#"
import email, email.policy, json, sys
for line in sys.stdin:
    mail = email.message_from_string(json.loads(line), policy=email.policy.default)
    defects = [repr(d) for v in mail.values() for d in v.defects]
    print(json.dumps([[a.display_name, a.addr_spec] for a in mail["to"].addresses] + defects))
"#;

const PIECES: [&str; 24] = [
    "Ann",
    "Lee",
    " ",
    "  ",
    "\"",
    "\\",
    ",",
    ";",
    ":",
    "<",
    ">",
    "@",
    "(",
    ")",
    ".",
    "żółć",
    "李雷",
    "🎉",
    "=?utf-8?q?x?=",
    "\u{a0}",
    "\u{200b}",
    "'",
    "O'Brien & Sons",
    "a@example.org",
];

fn name(rng: &mut Rng) -> Option<String> {
    let name: String = (0..rng.usize(0..7)).map(|_| PIECES[rng.usize(..PIECES.len())]).collect();
    // A parser may drop blanks at the ends of a name.
    (!name.trim().is_empty() && name.trim() == name).then_some(name)
}

const LOCALS: [&str; 8] =
    ["ann", "ann.lee", "o'brien+x", "{id}", "\"ann lee\"", "\"a, b\"", "\"a\\\\\\\"b\"", "\"a@b\""];
const DOMAINS: [&str; 5] = ["example.org", "żółw.pl", "localhost", "[192.0.2.5]", "[IPv6:2001:db8::1]"];

/// Returns addresses; `plain` ones have neither quotes nor brackets.
fn address(rng: &mut Rng, plain: bool) -> String {
    let (locals, domains) = if plain { (4, 3) } else { (LOCALS.len(), DOMAINS.len()) };
    format!("{}@{}", LOCALS[rng.usize(..locals)], DOMAINS[rng.usize(..domains)])
}

fn mailboxes(rng: &mut Rng, plain: bool) -> Vec<Mailbox> {
    let one = |rng: &mut Rng| Mailbox { name: name(rng), ..address(rng, plain).parse().expect("an address") };
    (0..=rng.usize(0..5)).map(|_| one(rng)).collect()
}

fn composed(to: &[Mailbox]) -> Vec<u8> {
    let from = "shop@example.org".parse().expect("a sender");
    let mail = Mail {
        from: Some(from),
        to: to.to_vec(),
        subject: Some("s".into()),
        text: Some("t".into()),
        ..Mail::default()
    };
    let rendered = Rendered::literal("s", Some("t"), None);
    compose(&Arc::new(mail), rendered, &identity(), None).expect("composed").bytes
}

/// Name and address of each mailbox; blanks in names are not compared.
fn shown<'a>(list: impl IntoIterator<Item = (Option<&'a str>, &'a str)>) -> Vec<(String, String)> {
    let plain = |name: &str| name.split_whitespace().collect::<String>();
    list.into_iter().map(|(name, address)| (name.map(plain).unwrap_or_default(), address.to_owned())).collect()
}

fn expected(list: &[Mailbox]) -> Vec<(String, String)> {
    shown(list.iter().map(|one| (one.name.as_deref(), one.address.as_str())))
}

/// The parser reads a quoted local part as a name.
#[test]
fn mail_parser_reads_the_mailboxes() {
    let mut rng = Rng::with_seed(14);
    for _ in 0..MESSAGES {
        let list = mailboxes(&mut rng, true);
        let bytes = composed(&list);
        let message = MessageParser::new().parse(&bytes).expect("a message");
        let Some(Address::List(found)) = message.to() else { panic!("{:?}", String::from_utf8_lossy(&bytes)) };
        let found = shown(found.iter().map(|one| (one.name(), one.address().unwrap_or_default())));
        assert_eq!(found, expected(&list), "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn python_reads_the_mailboxes() {
    let mut rng = Rng::with_seed(15);
    let lists: Vec<_> = (0..MESSAGES).map(|_| mailboxes(&mut rng, false)).collect();
    let lines: String = lists
        .iter()
        .map(|list| format!("{}\n", Value::String(String::from_utf8(composed(list)).expect("ASCII"))))
        .collect();
    let mut python = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    let mut input = python.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = python.wait_with_output().expect("python3 ends");
    writer.join().expect("a writer").expect("written");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(text.lines().count(), lists.len());
    for (line, list) in text.lines().zip(&lists) {
        let found: Vec<(String, String)> = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}: {list:?}"));
        let found = shown(found.iter().map(|(name, address)| (Some(name.as_str()), address.as_str())));
        assert_eq!(json!(found), json!(expected(list)), "{list:?}");
    }
}

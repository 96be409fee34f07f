//! The checks before enqueueing and the worker agree on every mail: both accept it or both reject
//! it.

use std::{collections::BTreeMap, sync::Arc};

use postroom_core::settings::Sources;
use postroom_enqueue::{Error, InvalidInput, Mail, Mailbox, Postroom, Settings};
use postroom_mail::{Identity, Message, Rendered, Templates, Variables, compose};
use postroom_smtp::{Address, Envelope};
use postroom_testkit::hostile::{HostileMails, TEMPLATES, mail_count};
use serde_json::Value;
use tempfile::TempDir;

const MAX_MESSAGE_SIZE: u64 = 200_000;

/// The steps of a worker: it reads a mail from Redis, renders and composes it, and builds the
/// envelope.
struct WorkerSide {
    templates: Templates,
    sender: Mailbox,
}

impl WorkerSide {
    fn make(&self, own: &Mail, shared: &Mail) -> Result<Message, String> {
        let (own, mut shared) = (stored(own)?, stored(shared)?);
        let vars = Variables::of(&std::mem::take(&mut shared.vars));
        let mail = Arc::new(own.over(&shared));
        let rendered = self.templates.render_mail_over(&vars, &mail).map_err(|error| error.to_string())?;
        let message = self.compose(&mail, rendered)?;
        check_envelope(&message)?;
        Ok(message)
    }

    fn compose(&self, mail: &Arc<Mail>, rendered: Rendered) -> Result<Message, String> {
        let domain = mail.from.as_ref().unwrap_or(&self.sender).address.domain();
        // The longest job id.
        let id = format!("{}-{}", "q".repeat(32), "0".repeat(26));
        let identity = Identity { message_id: format!("{id}@{domain}"), date_ms: 0, boundary_seed: id, generation: 0 };
        let message = compose(mail, rendered, &identity, Some(&self.sender));
        message.and_then(|message| message.within(MAX_MESSAGE_SIZE)).map_err(|error| error.to_string())
    }
}

/// Returns the mail as it is read from Redis.
fn stored(mail: &Mail) -> Result<Mail, String> {
    let json = serde_json::to_string(mail).map_err(|error| error.to_string())?;
    // Jobs and batches store the mail as JSON.
    serde_json::from_str(&json).map_err(|error| error.to_string())
}

/// Checks the envelope as the SMTP transport does.
fn check_envelope(message: &Message) -> Result<(), String> {
    let parse = |address: &str| Address::parse(address).map_err(|error| error.to_string());
    let to = message.envelope.rcpt_to.iter().map(|address| parse(address.as_str())).collect::<Result<_, _>>()?;
    let sender = message.envelope_sender(None).map_err(|error| error.to_string())?;
    let from = sender.address().map(|address| parse(address.as_str())).transpose()?;
    Envelope::new(from, to).map(|_| ()).map_err(|error| error.to_string())
}

/// Checks that every line is valid in SMTP and that the headers have no Bcc.
fn assert_transportable(message: &Message) {
    let (headers, _) = split_headers(&message.bytes);
    for line in message.bytes.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(
            line.len() <= 998 && !line.contains(&b'\r') && !line.contains(&0),
            "{:?}",
            String::from_utf8_lossy(line)
        );
    }
    assert!(!headers.to_lowercase().contains("\nbcc:"), "{headers}");
    let plain = headers.lines().filter(|line| !line.contains('@')).all(str::is_ascii);
    assert!(plain, "{headers}");
}

fn split_headers(bytes: &[u8]) -> (String, usize) {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("headers end");
    (String::from_utf8(bytes[..end].to_vec()).expect("UTF-8"), end)
}

fn set_up() -> (TempDir, Postroom, WorkerSide) {
    let temp = tempfile::tempdir().expect("a folder");
    let folder = temp.path().join("templates");
    for (path, text) in TEMPLATES {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        std::fs::write(path, text).expect("written");
    }
    let env = BTreeMap::from([
        ("TEMPLATES_DIR".to_owned(), folder.to_str().expect("UTF-8").to_owned()),
        ("MAX_MESSAGE_SIZE".to_owned(), MAX_MESSAGE_SIZE.to_string()),
        ("SMTP_MAIL_FROM".to_owned(), "Shop <shop@example.org>".to_owned()),
    ]);
    let settings = Settings::from_sources(&Sources { env, ..Sources::default() }).expect("settings");
    let sender = settings.sender.clone().expect("a sender");
    let worker = WorkerSide { templates: Templates::load(folder).expect("templates"), sender };
    (temp, Postroom::with_settings(settings), worker)
}

/// Sets fields to values that only a program in Rust can create, because they are not parsed.
fn set_unparsed_fields(generator: &mut HostileMails, mail: &mut Mail) {
    let name = Some(generator.line(255));
    let list = if generator.one_in(2) { &mut mail.reply_to } else { &mut mail.to };
    match list.first_mut() {
        Some(mailbox) => mailbox.name = name,
        None => list.push(Mailbox { name, ..mailbox(generator) }),
    }
    if mail.template.is_some() {
        let levels = generator.about(5, 125, 3);
        mail.vars.insert("deep".to_owned(), (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner])));
    }
}

fn mailbox(generator: &mut HostileMails) -> Mailbox {
    generator.address().parse().unwrap_or_else(|_| "a@example.org".parse().expect("an address"))
}

/// Splits a mail into its own part and a part that the mails of a batch share.
fn split(generator: &mut HostileMails, whole: &Mail) -> (Mail, Mail) {
    if whole.template.is_none() || generator.one_in(2) {
        return (whole.clone(), Mail::default());
    }
    let (mut own, mut shared) = (whole.clone(), Mail::default());
    shared.template = own.template.take();
    shared.from = own.from.take();
    shared.attachments = std::mem::take(&mut own.attachments);
    if generator.one_in(2) {
        shared.vars = std::mem::take(&mut own.vars);
    }
    (own, shared)
}

/// Numbers of accepted mails, and of rejected mails by field.
#[derive(Debug, Default)]
struct MailCounts {
    accepted: usize,
    rejected: BTreeMap<String, usize>,
}

/// Compares both sides for `number` mails; panics if they disagree.
fn compare(seed: u64, number: usize) -> MailCounts {
    let (_temp, postroom, worker) = set_up();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (mut generator, mut counts) = (HostileMails::new(seed), MailCounts::default());
    for number in 0..number {
        let json = generator.mail().to_string();
        let Ok(mut mail) = serde_json::from_str::<Mail>(&json) else {
            counts.reject("row");
            continue;
        };
        if generator.one_in(20) {
            set_unparsed_fields(&mut generator, &mut mail);
        }
        let (own, shared) = split(&mut generator, &mail);
        let (checked, composed) = (runtime.block_on(postroom.check(&mail)), worker.make(&own, &shared));
        match (checked, composed) {
            (Ok(()), Ok(message)) => {
                counts.accepted += 1;
                assert_transportable(&message);
            }
            (Err(Error::Core(postroom_core::Error::Invalid(problem))), composed)
                if agrees(&problem, &shared, &composed) =>
            {
                assert!(!problem.field.is_empty() && problem.problem.len() < 3_000, "{problem}");
                counts.reject(&problem.field);
            }
            (checked, composed) => {
                let (composed, json) = (composed.map(|message| message.bytes.len()), &json[..json.len().min(3_000)]);
                panic!("seed {seed}, mail {number}: checked {checked:?}, in the worker {composed:?}: {json}")
            }
        }
    }
    counts
}

/// Returns true if the worker rejects the mail too. Shared variables are an exception: they are
/// checked with each row, but a worker prepares them once.
fn agrees(problem: &InvalidInput, shared: &Mail, composed: &Result<Message, String>) -> bool {
    composed.is_err() || (problem.field == "vars" && !shared.vars.is_empty())
}

impl MailCounts {
    fn reject(&mut self, field: &str) {
        *self.rejected.entry(field.to_owned()).or_default() += 1;
    }
}

#[test]
fn accepted_mails_can_be_sent_and_rejected_mails_can_not() {
    let (all, threads) = (mail_count(100_000), 4);
    let running: Vec<_> = (0..threads).map(|seed| std::thread::spawn(move || compare(seed, all / 4))).collect();
    let all_counts: Vec<MailCounts> =
        running.into_iter().map(|thread| thread.join().expect("both sides agree")).collect();
    let accepted: usize = all_counts.iter().map(|counts| counts.accepted).sum();
    // Every kind of rejection occurs, and many mails are accepted.
    assert!(accepted > all / 4, "{all_counts:?}");
    let fields = ["row", "to", "subject", "text", "template", "headers", "attachments", "vars", "reply_to"];
    for field in fields.into_iter().filter(|_| all >= 20_000) {
        assert!(all_counts.iter().any(|counts| counts.rejected.contains_key(field)), "{field} of {all_counts:?}");
    }
}

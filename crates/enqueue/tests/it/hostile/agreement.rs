//! Hand-over and worker agree on every mail: what one refuses, the other does.

use std::{collections::BTreeMap, sync::Arc};

use postroom_core::settings::Sources;
use postroom_enqueue::{Error, InvalidInput, Mail, Mailbox, Postroom, Settings};
use postroom_mail::{Identity, Message, Rendered, Templates, Variables, compose};
use postroom_smtp::{Address, Envelope};
use serde_json::Value;

use super::{Maker, number, write_templates};
use crate::Desk;

const MAX_MESSAGE_SIZE: u64 = 200_000;

/// The worker's side: what Redis gives back, rendered, composed and put into an envelope.
struct Worker {
    templates: Templates,
    sender: Mailbox,
}

impl Worker {
    fn make(&self, own: &Mail, shared: &Mail) -> Result<Message, String> {
        let (own, mut shared) = (stored(own)?, stored(shared)?);
        let vars = Variables::of(&std::mem::take(&mut shared.vars));
        let mail = Arc::new(own.over(&shared));
        let words = self.templates.render_mail_over(&vars, &mail).map_err(|error| error.to_string())?;
        let message = self.compose(&mail, words)?;
        check_envelope(&message)?;
        Ok(message)
    }

    fn compose(&self, mail: &Arc<Mail>, words: Rendered) -> Result<Message, String> {
        let domain = mail.from.as_ref().unwrap_or(&self.sender).address.domain();
        // As long as a job's id may be.
        let id = format!("{}-{}", "q".repeat(32), "0".repeat(26));
        let identity = Identity { message_id: format!("{id}@{domain}"), date_ms: 0, boundary_seed: id, generation: 0 };
        let message = compose(mail, words, &identity, Some(&self.sender));
        message.and_then(|message| message.within(MAX_MESSAGE_SIZE)).map_err(|error| error.to_string())
    }
}

/// As it comes back from Redis.
fn stored(mail: &Mail) -> Result<Mail, String> {
    let json = serde_json::to_string(mail).map_err(|error| error.to_string())?;
    // A job's payload holds the mail's JSON; a batch's content is the same.
    serde_json::from_str(&json).map_err(|error| error.to_string())
}

/// What the SMTP transport makes of it.
fn check_envelope(message: &Message) -> Result<(), String> {
    let parse = |address: &str| Address::parse(address).map_err(|error| error.to_string());
    let to = message.envelope.rcpt_to.iter().map(|address| parse(address.as_str())).collect::<Result<_, _>>()?;
    let from = parse(message.envelope.mail_from.as_str())?;
    Envelope::new(Some(from), to).map(|_| ()).map_err(|error| error.to_string())
}

/// Lines that any server takes, and nothing in them that ends one.
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

fn desk() -> (Desk, Postroom, Worker) {
    let desk = Desk::new();
    write_templates(&desk);
    let folder = desk.folder().join("templates");
    let env = BTreeMap::from([
        ("TEMPLATES_DIR".to_owned(), folder.to_str().expect("UTF-8").to_owned()),
        ("MAX_MESSAGE_SIZE".to_owned(), MAX_MESSAGE_SIZE.to_string()),
        ("SMTP_MAIL_FROM".to_owned(), "Shop <shop@example.org>".to_owned()),
    ]);
    let settings = Settings::from_sources(&Sources { env, ..Sources::default() }).expect("settings");
    let sender = settings.sender.clone().expect("a sender");
    let worker = Worker { templates: Templates::load(folder).expect("templates"), sender };
    (desk, Postroom::with_settings(settings), worker)
}

/// What only a program in Rust can hand over: fields that were never parsed.
fn never_parsed(maker: &mut Maker, mail: &mut Mail) {
    let name = Some(maker.line(255));
    let list = if maker.one_in(2) { &mut mail.reply_to } else { &mut mail.to };
    match list.first_mut() {
        Some(mailbox) => mailbox.name = name,
        None => list.push(Mailbox { name, ..maker_address(maker) }),
    }
    if mail.template.is_some() {
        let levels = maker.about(5, 125, 3);
        mail.vars.insert("deep".to_owned(), (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner])));
    }
}

fn maker_address(maker: &mut Maker) -> Mailbox {
    maker.address().parse().unwrap_or_else(|_| "a@example.org".parse().expect("an address"))
}

/// Some of it as a batch's mails share it.
fn shared_part(maker: &mut Maker, whole: &Mail) -> (Mail, Mail) {
    if whole.template.is_none() || maker.one_in(2) {
        return (whole.clone(), Mail::default());
    }
    let (mut own, mut shared) = (whole.clone(), Mail::default());
    shared.template = own.template.take();
    shared.from = own.from.take();
    shared.attachments = std::mem::take(&mut own.attachments);
    if maker.one_in(2) {
        shared.vars = std::mem::take(&mut own.vars);
    }
    (own, shared)
}

#[derive(Debug, Default)]
struct Tally {
    taken: usize,
    refused: BTreeMap<String, usize>,
}

/// What one thread found.
fn try_mails(seed: u64, number: usize) -> Tally {
    let (_desk, postroom, worker) = desk();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (mut maker, mut tally) = (Maker::new(seed), Tally::default());
    for number in 0..number {
        let json = maker.mail().to_string();
        let Ok(mut mail) = serde_json::from_str::<Mail>(&json) else {
            tally.refuse("row");
            continue;
        };
        if maker.one_in(20) {
            never_parsed(&mut maker, &mut mail);
        }
        let (own, shared) = shared_part(&mut maker, &mail);
        let (checked, made) = (runtime.block_on(postroom.check(&mail)), worker.make(&own, &shared));
        match (checked, made) {
            (Ok(()), Ok(message)) => {
                tally.taken += 1;
                assert_transportable(&message);
            }
            (Err(Error::Core(postroom_core::Error::Invalid(refused))), made) if agrees(&refused, &shared, &made) => {
                assert!(!refused.field.is_empty() && refused.problem.len() < 3_000, "{refused}");
                tally.refuse(&refused.field);
            }
            (checked, made) => {
                let (made, json) = (made.map(|message| message.bytes.len()), &json[..json.len().min(3_000)]);
                panic!("seed {seed}, mail {number}: at hand-over {checked:?}, in the worker {made:?}: {json}")
            }
        }
    }
    tally
}

/// Whether the worker refuses it too. The variables that a batch shares are checked with its rows alone: a worker makes them ready once.
fn agrees(refused: &InvalidInput, shared: &Mail, made: &Result<Message, String>) -> bool {
    made.is_err() || (refused.field == "vars" && !shared.vars.is_empty())
}

impl Tally {
    fn refuse(&mut self, field: &str) {
        *self.refused.entry(field.to_owned()).or_default() += 1;
    }
}

#[test]
fn what_is_taken_can_be_sent_and_what_can_not_is_refused() {
    let (all, threads) = (number(100_000), 4);
    let running: Vec<_> = (0..threads).map(|seed| std::thread::spawn(move || try_mails(seed, all / 4))).collect();
    let tallies: Vec<Tally> = running.into_iter().map(|thread| thread.join().expect("they agree")).collect();
    let taken: usize = tallies.iter().map(|tally| tally.taken).sum();
    // Each way to refuse is met, and refusing is not all that is done.
    assert!(taken > all / 4, "{tallies:?}");
    let fields = ["row", "to", "subject", "text", "template", "headers", "attachments", "vars", "reply_to"];
    for field in fields.into_iter().filter(|_| all >= 20_000) {
        assert!(tallies.iter().any(|tally| tally.refused.contains_key(field)), "{field} of {tallies:?}");
    }
}

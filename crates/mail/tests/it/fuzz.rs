//! Random mails: each composes to one message, which an independent parser reads back unchanged.

mod html;

use std::{cell::Cell, collections::BTreeSet, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use mail_parser::{Address as Addresses, HeaderValue, MessageParser, MessagePart, MimeHeaders};
use postroom_core::{EmailAddress, FieldBody, Mail, Mailbox, header_fields};
use postroom_mail::{Message, Rendered, compose};
use postroom_testkit::fuzz::{Case, Fuzz};
use serde_json::{Map, Value, json};

use crate::identity;

const SEEDS: [&str; 20] = [
    "Hello",
    "Żółć Ёлка Ağaoğlu 李雷 👩‍🚀 🎉",
    "O'Brien & <b>",
    "=?utf-8?q?x?= =?UTF-8?B?eA==?=",
    "{{ name }} {% if x %}\\\"",
    "Hi\r\nBcc: eve@example.org",
    "Hi\r\n\r\n.\r\nMAIL FROM:<eve@example.org>\r\n",
    "\r\n.\r\n..\r\n. \r\nFrom here\r\n",
    "--=_boundary\r\nContent-Type: text/html\r\n\r\nx\r\n--=_boundary--\r\n",
    "a\u{2028}b\u{85}c\u{b}d\u{c}e\u{7f}f\0g",
    "trailing  \n  leading\n\ttab\t\n",
    "Faktura żółta 李雷 \"b\" \\ c.pdf",
    "application/pdf; name=\"x\"",
    "text/calendar; method=REQUEST",
    "x, y; z: (comment) <a@b>",
    "<https://żółw.pl/ü?q=a b>, <mailto:u@example.org?subject=x>",
    "<a@example.org> <b@example.org>, c@example.org",
    "BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nSUMMARY:ż\nEND:VEVENT\nEND:VCALENDAR\n",
    "From: a@example.org\nSubject: x\nMIME-Version: 1.0\n\nHello\n--=_x\n",
    "a line that is longer than what a line of a message may be, without any place to break it:aaaaaaaaaaaaaaaaaaaaaaa",
];

const TOKENS: [&str; 18] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    ".",
    "--",
    "=_",
    "=?utf-8?b?",
    "?=",
    "\"",
    "\\",
    "<",
    ">",
    ",",
    ": ",
    "Bcc: ",
    "\u{feff}",
    "\u{301}",
];

const HEADERS: [&str; 12] = [
    "Sender",
    "Resent-To",
    "Disposition-Notification-To",
    "List-Unsubscribe",
    "List-Id",
    "References",
    "In-Reply-To",
    "Feedback-ID",
    "X-SMTPAPI",
    "X-Long-Name",
    "Comments",
    "x-foo",
];

/// Headers that a message may have, in lower case; each at most once.
const OURS: [&str; 10] =
    ["date", "message-id", "from", "to", "cc", "reply-to", "subject", "auto-submitted", "mime-version", "content-type"];

#[test]
fn mime_of_random_mails_is_read_back_unchanged() {
    let (made, composed) = (Cell::new(0_u32), Cell::new(0_u32));
    Fuzz::target("mime").seeds(SEEDS).tokens(&TOKENS).run(|case: &mut Case<'_>| {
        made.set(made.get() + 1);
        let Some(mail) = mail(case) else { return };
        let rendered =
            Rendered::literal(mail.subject.as_deref().unwrap_or_default(), mail.text.as_deref(), mail.html.as_deref());
        let (mail, sender) = (Arc::new(mail), "Shop <shop@example.org>".parse().expect("a sender"));
        let make = || compose(&mail, rendered.clone(), &identity(), Some(&sender));
        // A refused mail is an error; nothing is sent.
        let Ok(message) = make() else { return };
        composed.set(composed.get() + 1);
        assert_eq!(make().expect("the same").bytes, message.bytes, "each attempt sends the same bytes");
        check_lines(&message);
        check_envelope(&message);
        check_headers(&message);
        check_content(&message);
    });
    assert!(
        made.get() < 100 || composed.get() >= made.get() / 10,
        "only {} of {} mails were composed",
        composed.get(),
        made.get()
    );
}

/// A random mail, or `None` if it is invalid.
fn mail(case: &mut Case<'_>) -> Option<Mail> {
    let mut value = json!({ "to": people(case), "subject": case.word() });
    let fields = value.as_object_mut().expect("an object");
    for field in ["from", "cc", "bcc", "reply_to"] {
        if case.one_in(3) {
            let people = if field == "from" { Value::from(person(case)) } else { people(case) };
            fields.insert(field.to_owned(), people);
        }
    }
    if !case.one_in(4) {
        fields.insert("text".to_owned(), case.text().into());
    }
    if case.one_in(3) {
        // Markup is excluded: the conversion of HTML to text has its own tests.
        fields.insert("html".to_owned(), case.text().replace('<', "(").into());
    }
    // Most random headers are refused, so most mails have none.
    let headers: Map<String, Value> = (0..case.below(6).saturating_sub(3)).map(|_| header(case)).collect();
    fields.insert("headers".to_owned(), headers.into());
    let files = case.below(4).saturating_sub(1);
    fields.insert("attachments".to_owned(), (0..files).map(|_| file(case)).collect());
    serde_json::from_value::<Mail>(value).ok().filter(|mail| mail.check().is_ok())
}

/// A header of any kind, with a value that may suit it.
fn header(case: &mut Case<'_>) -> (String, Value) {
    let name = *case.pick(&HEADERS);
    let value = match case.below(4) {
        0 => person(case),
        1 => format!("<https://{}/{}>", case.pick(&["example.org", "żółw.pl"]), case.word().replace(['<', '>'], "")),
        2 => format!("<{}@example.org>,<{}>", case.below(99), case.word().replace(' ', "")),
        _ => case.word() + &case.word(),
    };
    (name.to_owned(), value.into())
}

fn people(case: &mut Case<'_>) -> Value {
    (0..1 + case.below(3)).map(|_| person(case)).collect()
}

fn person(case: &mut Case<'_>) -> String {
    let name = case.word().replace('\\', "\\\\").replace('"', "\\\"");
    let address = *case.pick(&["a@example.net", "b+c@żółw.pl", "ż@example.net", "d@e.example"]);
    if case.one_in(3) { address.to_owned() } else { format!("\"{name}\" <{address}>") }
}

fn file(case: &mut Case<'_>) -> Value {
    let mut file = json!({ "filename": case.word(), "content": STANDARD.encode(case.bytes()) });
    let fields = file.as_object_mut().expect("an object");
    if case.one_in(3) {
        let known = ["message/rfc822", "text/calendar", "text/plain", "text/x; format=flowed; name=x", "image/png"];
        let media_type = if case.one_in(3) { case.word() } else { (*case.pick(&known)).to_owned() };
        fields.insert("content_type".to_owned(), media_type.into());
    }
    if case.one_in(4) {
        fields.insert("content_id".to_owned(), case.word().into());
    }
    file
}

/// Checks the lines: CRLF only, at most 998 octets, 7-bit unless an address is international (RFC
/// 6532).
fn check_lines(message: &Message) {
    let text = std::str::from_utf8(&message.bytes).expect("UTF-8");
    let mail = &message.mail;
    let mut named = mail.to.iter().chain(&mail.cc).chain(&mail.reply_to).chain([&message.from]);
    let is_international = named.any(|mailbox| !mailbox.address.as_str().is_ascii())
        || header_fields(&mail.headers).flatten().any(|(_, form)| names_international(&form));
    assert!((is_international || text.is_ascii()) && !text.contains('\0') && text.ends_with("\r\n"), "{text:?}");
    for line in text.split("\r\n") {
        assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{line:?}");
    }
}

fn names_international(form: &FieldBody<'_>) -> bool {
    matches!(form, FieldBody::Mailboxes(list) if list.iter().any(|one| !one.address.as_str().is_ascii()))
}

fn check_envelope(message: &Message) {
    let named: BTreeSet<&str> = message.mail.recipients().iter().map(|address| address.as_str()).collect();
    let sent: BTreeSet<&str> = message.envelope.rcpt_to.iter().map(EmailAddress::as_str).collect();
    assert_eq!(sent, named);
    assert_eq!(sent.len(), message.envelope.rcpt_to.len(), "each address occurs once");
    for address in sent {
        postroom_smtp::Address::parse(address).expect("an address that a command may hold");
    }
}

fn check_headers(message: &Message) {
    let text = std::str::from_utf8(&message.bytes).expect("UTF-8");
    let (head, _) = text.split_once("\r\n\r\n").expect("a head");
    let lines = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    let own: Vec<String> = message.mail.headers.keys().map(|name| name.to_lowercase()).collect();
    let mut seen = BTreeSet::new();
    for line in lines {
        let name = line.split_once(':').unwrap_or_else(|| panic!("{line:?} is no header")).0.to_lowercase();
        let is_body = name == "content-transfer-encoding" || name == "content-disposition" || name == "content-id";
        assert!(is_body || OURS.contains(&name.as_str()) || own.contains(&name), "{line:?} was injected");
        assert!(seen.insert(name), "{line:?} is duplicated");
    }
}

fn check_content(message: &Message) {
    let parser = MessageParser::new().with_mime_headers().with_date_headers().with_address_headers();
    let parser = parser.with_message_ids().header_address("Disposition-Notification-To").default_header_text();
    let read = parser.parse(&message.bytes).expect("a message");
    check_forms(message, &read);
    let (mail, rendered) = (&message.mail, &message.rendered);
    assert_eq!(squeezed(read.subject().unwrap_or_default()), squeezed(&rendered.subject));
    assert_eq!(read.message_id(), Some(message.message_id.as_str()));
    check_people("From", read.from(), std::slice::from_ref(&message.from));
    check_people("To", read.to(), &mail.to);
    check_people("Cc", read.cc(), &mail.cc);
    check_people("Reply-To", read.reply_to(), &mail.reply_to);
    // A calendar is a text body too, behind the others.
    assert!(read.text_body_count() <= 2, "text bodies");
    if rendered.html.is_none() || !rendered.text.trim().is_empty() {
        assert_eq!(lines(&read.body_text(0).unwrap_or_default()), lines(&rendered.text));
    }
    if let Some(html) = &rendered.html {
        assert_eq!(lines(&read.body_html(0).unwrap_or_default()), lines(html));
    }
    let parts: Vec<_> = read.parts.iter().filter(|part| part.content_disposition().is_some()).collect();
    // The line ends of an attached message are CRLF.
    let has_message = mail.attachments.iter().any(|file| file.content_type.as_deref() == Some("message/rfc822"));
    let plain = |bytes: Vec<u8>| if has_message { unix(&bytes) } else { bytes };
    let files: BTreeSet<Vec<u8>> = parts.iter().map(|part| plain(bytes_of(&read, part))).collect();
    assert_eq!(parts.len(), mail.attachments.len(), "files");
    assert_eq!(files, mail.attachments.iter().map(|file| plain(file.content.bytes().to_vec())).collect());
    let names: BTreeSet<&str> = parts.iter().map(|part| part.attachment_name().unwrap_or_default()).collect();
    let sent: BTreeSet<String> = mail.attachments.iter().map(|file| file.sent_name().into_owned()).collect();
    assert_eq!(names, sent.iter().map(String::as_str).collect(), "names of files");
    let names: BTreeSet<String> =
        parts.iter().filter_map(|part| Some(squeezed(part.content_type()?.attribute("name")?))).collect();
    assert_eq!(names, sent.iter().map(|name| squeezed(name)).collect(), "names in Content-Type");
}

/// Compares the additional headers: addresses and text as the parser reads them, others literally.
fn check_forms(message: &Message, read: &mail_parser::Message<'_>) {
    for form in header_fields(&message.mail.headers) {
        let (name, form) = form.expect("a valid header");
        let raw = read.header_raw(name).unwrap_or_default().replace("\r\n", "");
        match form {
            FieldBody::Mailboxes(list) => {
                check_people(name, read.header(name).and_then(HeaderValue::as_address), &list);
                let of_name = |one: &Mailbox| one.name.as_ref().is_some_and(|name| name.contains(one.address.as_str()));
                let addresses = list.iter().filter(|one| !of_name(one));
                addresses.for_each(|one| assert!(raw.contains(one.address.as_str()), "{raw}"));
            }
            FieldBody::Literal(value) => {
                assert_eq!(raw.trim().replace(">, ", ">,"), value.replace(">, ", ">,"), "{name}");
            }
            FieldBody::Named { id, .. } => assert!(raw.ends_with(&format!("<{id}>")), "{raw}"),
            FieldBody::Text(text) => {
                let found = read.header(name).and_then(HeaderValue::as_text).unwrap_or_default();
                assert_eq!(squeezed(found), squeezed(text), "{name}");
            }
        }
    }
}

/// Bytes with each CRLF as LF.
fn unix(bytes: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(bytes).replace("\r\n", "\n").into_bytes()
}

/// Raw bytes of a file: base64, or the lines of a message. The parser would convert some types to
/// text.
fn bytes_of(read: &mail_parser::Message<'_>, part: &MessagePart<'_>) -> Vec<u8> {
    let raw = &read.raw_message()[part.raw_body_offset() as usize..part.raw_end_offset() as usize];
    if part.content_transfer_encoding() == Some("7bit") {
        return raw.to_vec();
    }
    let digits: Vec<u8> = raw.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(digits).expect("base64")
}

fn check_people(header: &str, read: Option<&Addresses<'_>>, named: &[Mailbox]) {
    let read = read.map(|list| list.iter().collect::<Vec<_>>()).unwrap_or_default();
    let read: Vec<(String, String)> = read
        .iter()
        .filter(|one| one.address().is_some())
        .map(|one| (squeezed(one.name().unwrap_or_default()), one.address().unwrap_or_default().to_owned()))
        .collect();
    let name = |one: &Mailbox| squeezed(one.name.as_deref().unwrap_or_default());
    let named: Vec<(String, String)> = named.iter().map(|one| (name(one), one.address.to_string())).collect();
    assert_eq!(read, named, "{header}");
}

/// Text without white space, which parsers of headers normalize differently.
fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Lines of a body, for any kind of line end, without trailing empty lines.
fn lines(text: &str) -> Vec<String> {
    let unix = text.replace("\r\n", "\n").replace('\r', "\n");
    unix.trim_end_matches('\n').split('\n').map(str::to_owned).collect()
}

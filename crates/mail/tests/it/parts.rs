//! Exact bytes of the parts of a message.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use postroom_core::Mail;
use postroom_mail::{Rendered, compose};
use serde_json::{Value, json};

use crate::{identity, mail, parser::parse};

fn composed(mail: &Mail) -> String {
    let (text, html) = (mail.text.as_deref(), mail.html.as_deref());
    let rendered = Rendered::literal(mail.subject.as_deref().unwrap_or_default(), text, html);
    let sender = "shop@example.org".parse().expect("a sender");
    let message = compose(&Arc::new(mail.clone()), rendered, &identity(), Some(&sender)).expect("composed");
    parse(&message.bytes);
    String::from_utf8(message.bytes).expect("ASCII")
}

fn with(files: &Value, html: Option<&str>) -> Mail {
    let mut value = json!({"to": "a@example.net", "subject": "s", "text": "t", "attachments": files});
    value["html"] = json!(html);
    mail(value)
}

fn file(name: &str, content_type: Option<&str>, content: &[u8]) -> Value {
    let mut file = json!({"filename": name, "content": STANDARD.encode(content)});
    if let Some(content_type) = content_type {
        file["content_type"] = json!(content_type);
    }
    file
}

/// Body with its headers; the boundaries are `b1`, `b2` and so on, in their order.
fn body(mail: &Mail) -> String {
    let message = composed(mail);
    let (_, body) = message.split_once("MIME-Version: 1.0\r\n").expect("headers");
    let found = body.split("boundary=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let named = found.enumerate().fold(body.to_owned(), |body, (at, name)| body.replace(name, &format!("b{}", at + 1)));
    named.replace("\r\n", "\n")
}

/// The part of a single attachment.
#[track_caller]
fn check_file(content: &Value, expected: &str) {
    let whole = body(&with(&json!([content]), None));
    let part = whole.strip_suffix("--b1--\n").and_then(|rest| rest.rsplit("--b1\n").next()).expect("a part");
    assert_eq!(part, expected);
}

const CALENDAR: &str = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR\n";

#[test]
fn an_invitation_is_an_alternative_and_a_file() {
    let start = "Content-Type: multipart/mixed; boundary=\"b1\"\n\n--b1\n\
        Content-Type: multipart/alternative;\n boundary=\"b2\"\n\n--b2\n\
        Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 7bit\n\nt\n";
    let html = "--b2\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 7bit\n\n<p>t</p>\n";
    let invitation = |parameters: &str| {
        format!(
            "--b2\nContent-Type: text/calendar; method=REQUEST; charset=utf-8{parameters}\n\
            Content-Transfer-Encoding: 7bit\n\n{CALENDAR}\n--b2--\n"
        )
    };
    let file_of = |content: &[u8]| {
        format!(
            "--b1\nContent-Type: application/ics; charset=utf-8; name=\"a.ics\"\n\
            Content-Disposition: attachment; filename=\"a.ics\"\nContent-Transfer-Encoding: base64\n\n{}\n--b1--\n",
            STANDARD.encode(content)
        )
    };
    for (content_type, content, parameters) in [
        (None, CALENDAR.as_bytes(), ""),
        (Some("text/calendar"), CALENDAR.replace('\n', "\r\n").as_bytes(), ""),
        (Some("text/calendar; method=request; component=VEVENT"), CALENDAR.as_bytes(), "; component=VEVENT"),
    ] {
        let one = json!([file("a.ics", content_type, content)]);
        let (invitation, file) = (invitation(parameters), file_of(content));
        assert_eq!(body(&with(&one, Some("<p>t</p>"))), format!("{start}{html}{invitation}{file}"));
        assert_eq!(body(&with(&one, None)), format!("{start}{invitation}{file}"));
    }
}

#[test]
fn a_calendar_without_a_method_is_a_file() {
    check_file(
        &file("a.ics", None, b"BEGIN:VCALENDAR\n"),
        "Content-Type: text/calendar; charset=utf-8; name=\"a.ics\"\n\
        Content-Disposition: attachment; filename=\"a.ics\"\nContent-Transfer-Encoding: base64\n\n\
        QkVHSU46VkNBTEVOREFSCg==\n",
    );
}

#[test]
fn only_the_first_invitation_is_an_alternative() {
    let two = json!([file("a.ics", None, CALENDAR.as_bytes()), file("b.ics", None, CALENDAR.as_bytes())]);
    let body = body(&with(&two, None));
    assert_eq!(body.matches("Content-Type: text/calendar; method=REQUEST; charset=utf-8\n").count(), 1, "{body}");
    assert!(body.contains("Content-Type: text/calendar; charset=utf-8; name=\"b.ics\"\n"), "{body}");
}

#[test]
fn a_message_is_7bit_or_no_message() {
    let head = |kind: &str| {
        format!("Content-Type: {kind}; name=\"a.eml\"\nContent-Disposition: attachment; filename=\"a.eml\"\n")
    };
    let seven = head("message/rfc822") + "Content-Transfer-Encoding: 7bit\n\n";
    let base64 = head("application/octet-stream") + "Content-Transfer-Encoding: base64\n\n";
    let long = format!("Subject: x\n\n{}\n", "a".repeat(999));
    for (content, expected) in [
        ("Subject: x\n\nHello\n", format!("{seven}Subject: x\n\nHello\n\n")),
        ("Subject: x\r\n\r\nHello", format!("{seven}Subject: x\n\nHello\n")),
        ("no header", format!("{base64}{}\n", STANDARD.encode("no header"))),
        ("Subject: ż\n\n", format!("{base64}{}\n", STANDARD.encode("Subject: ż\n\n"))),
        ("Subject: x\n\na\rb", format!("{base64}{}\n", STANDARD.encode("Subject: x\n\na\rb"))),
    ] {
        check_file(&file("a.eml", Some("message/rfc822"), content.as_bytes()), &expected);
    }
    let body = body(&with(&json!([file("a.eml", Some("Message/RFC822"), long.as_bytes())]), None));
    assert!(body.contains("application/octet-stream") && !body.contains("Message/"), "{body}");
}

#[test]
fn an_attached_message_with_a_boundary_splits_no_part() {
    let mut held = "Subject: x\n\n".to_owned();
    for _ in 0..3 {
        let attached = json!([file("a.eml", Some("message/rfc822"), held.as_bytes())]);
        let message = composed(&with(&attached, None));
        let boundary = message.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a boundary");
        assert!(!held.contains(boundary), "{boundary} in {held}");
        held.push_str(&format!("--{boundary}\n--{boundary}--\n"));
    }
}

#[test]
fn images_are_related_to_the_html() {
    let mut image = file("a.png", None, b"x");
    image["content_id"] = json!("<logo>");
    assert_eq!(
        body(&with(&json!([image]), Some("<img src=\"cid:logo\">"))),
        "Content-Type: multipart/alternative;\n boundary=\"b1\"\n\n--b1\n\
        Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 7bit\n\nt\n--b1\n\
        Content-Type: multipart/related; type=\"text/html\";\n boundary=\"b2\"\n\n--b2\n\
        Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 7bit\n\n<img src=\"cid:logo\">\n--b2\n\
        Content-Type: image/png; name=\"a.png\"\nContent-Disposition: inline; filename=\"a.png\"\n\
        Content-ID: <logo>\nContent-Transfer-Encoding: base64\n\neA==\n--b2--\n--b1--\n"
    );
}

#[test]
fn text_files_name_their_charset() {
    for (name, content_type, content, written) in [
        ("a.txt", None, &b"x"[..], "text/plain; charset=utf-8"),
        ("a.csv", None, "ż".as_bytes(), "text/csv; charset=utf-8"),
        ("a.html", None, b"", "text/html; charset=utf-8"),
        ("a.csv", None, b"\xbf\xff", "text/csv"),
        ("a.csv", None, b"\xff\xfeA\0", "text/csv; charset=utf-16"),
        ("a.csv", Some("text/csv; charset=iso-8859-2"), "ż".as_bytes(), "text/csv; charset=iso-8859-2"),
        ("a.txt", Some("text/x; Format=flowed"), b"x", "text/x; charset=utf-8; Format=flowed"),
        ("a.txt", Some("text/x; name=\"other\""), b"x", "text/x; charset=utf-8"),
        ("a.xml", None, b"x", "application/xml"),
        ("a.pdf", Some(" application/pdf ; "), b"x", "application/pdf"),
    ] {
        let body = body(&with(&json!([file(name, content_type, content)]), None));
        let line = format!("Content-Type: {written}; name=\"{name}\"\n");
        assert!(body.contains(&line) || body.contains(&line.replace("; name", ";\n name")), "{line}: {body}");
    }
}

#[test]
fn a_file_is_named_by_the_end_of_its_path() {
    for (name, sent) in [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\Ann\\Report.pdf", "Report.pdf"),
        ("in\u{200b}voice\u{202e}.pdf", "invoice.pdf"),
        ("Zaz\u{307}o\u{301}łc\u{301}.pdf", "Zażółć.pdf"),
        ("a\tb.pdf", "ab.pdf"),
    ] {
        let message = composed(&with(&json!([file(name, None, b"x")]), None));
        assert_eq!(parse(message.as_bytes())["body"]["parts"][1]["filename"], sent, "{name:?}");
    }
}

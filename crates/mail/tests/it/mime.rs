//! Composed messages, read back by an independent parser.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use postroom_core::Mail;
use postroom_mail::{ComposeError, Message, Rendered, compose};
use serde_json::{Value, json};

use crate::{NAMES, identity, mail, parser::parse};

fn rendered(mail: &Mail) -> Rendered {
    Rendered::literal(mail.subject.as_deref().unwrap_or_default(), mail.text.as_deref(), mail.html.as_deref())
}

fn composed(mail: &Mail) -> Result<Message, ComposeError> {
    compose(
        &Arc::new(mail.clone()),
        rendered(mail),
        &identity(),
        Some(&"Shop <shop@example.org>".parse().expect("a sender")),
    )
}

fn read_back(mail: &Mail) -> Value {
    parse(&composed(mail).expect("composed").bytes)
}

#[test]
fn every_name_is_read_back_unchanged() {
    for name in NAMES {
        let mail = mail(json!({
            "from": format!("\"{}\" <from@example.org>", name.replace('\\', "\\\\").replace('"', "\\\"")),
            "to": ["a@example.net", format!("\"{}\" <to@żółw.pl>", name.replace('\\', "\\\\").replace('"', "\\\""))],
            "reply_to": "r@example.org",
            "subject": format!("{name}: {name}"),
            "text": format!("Dear {name},\n.\n..dots\nFrom here\n  trailing  \n"),
            "html": format!("<p>{name}</p>"),
            "headers": {"X-Name": name, "List-Unsubscribe": "<https://example.org/u?x=1>, <mailto:u@example.org>"},
        }));
        let read = read_back(&mail);
        assert_eq!(read["headers"]["subject"], format!("{name}: {name}"));
        assert_eq!(read["headers"]["x-name"], name);
        assert_eq!(read["headers"]["list-unsubscribe"], "<https://example.org/u?x=1>, <mailto:u@example.org>");
        assert_eq!(read["from"], json!([[name, "from@example.org"]]));
        assert_eq!(read["to"], json!([["", "a@example.net"], [name, "to@xn--w-uga1v8h.pl"]]));
        assert_eq!(read["reply_to"], json!([["", "r@example.org"]]));
        assert_eq!(read["body"]["type"], "multipart/alternative");
        let parts = &read["body"]["parts"];
        assert_eq!(parts[0]["text"], format!("Dear {name},\n.\n..dots\nFrom here\n  trailing  \n"));
        assert_eq!(parts[1]["text"].as_str().map(str::trim_end), Some(&*format!("<p>{name}</p>")));
        assert_eq!((&parts[0]["type"], &parts[1]["type"]), (&json!("text/plain"), &json!("text/html")));
    }
}

#[test]
fn every_mail_has_the_default_headers() {
    let mail = mail(json!({"to": "a@example.net", "subject": "Hi", "text": "Hello"}));
    let read = read_back(&mail);
    assert_eq!(read["headers"]["date"], "Fri, 22 Nov 2024 18:26:40 +0000");
    assert_eq!(read["headers"]["message-id"], "<emails-01JD0000000000000000000000@example.org>");
    assert_eq!(read["headers"]["auto-submitted"], "auto-generated");
    assert_eq!(read["headers"]["mime-version"], "1.0");
    assert_eq!(read["from"], json!([["Shop", "shop@example.org"]]));
    assert_eq!(read["body"]["type"], "text/plain");
    assert_eq!(read["body"]["charset"], "utf-8");
    assert_eq!(read["body"]["text"], "Hello\n");
}

#[test]
fn a_mail_can_override_auto_submitted() {
    let mail = mail(json!({"to": "a@example.net", "subject": "Hi", "text": "x", "headers": {"auto-submitted": "no"}}));
    let read = read_back(&mail);
    assert_eq!(read["headers"]["auto-submitted"], "no");
    let names = read["names"].as_array().expect("names");
    assert_eq!(
        names.iter().filter(|name| name.as_str().is_some_and(|n| n.eq_ignore_ascii_case("auto-submitted"))).count(),
        1
    );
}

#[test]
fn bcc_is_in_the_envelope_only() {
    let open =
        mail(json!({"to": "a@example.net", "cc": "c@example.net", "bcc": ["secret@example.net", "a@example.net"],
            "subject": "s", "text": "t"}));
    let message = composed(&open).expect("composed");
    let to: Vec<_> = message.envelope.rcpt_to.iter().map(postroom_core::EmailAddress::as_str).collect();
    assert_eq!(to, ["a@example.net", "c@example.net", "secret@example.net"]);
    assert!(!String::from_utf8_lossy(&message.bytes).to_lowercase().contains("secret"));
    assert_eq!(message.envelope_sender(None).map(|sender| sender.to_string()).as_deref(), Ok("shop@example.org"));

    let hidden = mail(json!({"bcc": "secret@example.net", "subject": "s", "text": "t"}));
    let message = composed(&hidden).expect("composed");
    assert!(!String::from_utf8_lossy(&message.bytes).to_lowercase().contains("secret"));
    assert_eq!(parse(&message.bytes)["headers"]["to"], "undisclosed-recipients:;");
}

#[test]
fn files_and_images_are_read_back_byte_for_byte() {
    let every_byte: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let text_file = b"a\nb\r\nc\rd\0".to_vec();
    let file = |name: &str, content: &[u8]| json!({"filename": name, "content": STANDARD.encode(content)});
    let long = format!("{}.pdf", "Zażółć gęślą jaźń ".repeat(9));
    let mut image = file("logo.png", &every_byte);
    image["content_id"] = json!("logo@example.org");
    let mut typed = file("x.bin", b"x");
    typed["content_type"] = json!("text/calendar; method=REQUEST");
    let mail = mail(json!({
        "to": "a@example.net", "subject": "s", "text": "t", "html": "<img src=\"cid:logo@example.org\">",
        "attachments": [file("Faktura żółta 李雷 🎉.pdf", &every_byte), image, file(&long, b"x"),
            file("a \"b\" c.txt", &text_file), typed],
    }));
    let read = read_back(&mail);
    let parts = &read["body"]["parts"];
    assert_eq!(
        (&read["body"]["type"], &parts[0]["type"]),
        (&json!("multipart/mixed"), &json!("multipart/alternative"))
    );
    let related = &parts[0]["parts"][1];
    assert_eq!(related["type"], "multipart/related");
    assert_eq!(related["parts"][1]["id"], "<logo@example.org>");
    assert_eq!(related["parts"][1]["disposition"], "inline");
    assert_eq!(related["parts"][1]["bytes"], STANDARD.encode(&every_byte));
    for (part, name, media_type, content) in [
        (1, "Faktura żółta 李雷 🎉.pdf", "application/pdf", &every_byte[..]),
        (2, &long, "application/pdf", b"x"),
        (3, "a \"b\" c.txt", "text/plain", &text_file),
        (4, "x.bin", "text/calendar", b"x"),
    ] {
        assert_eq!(parts[part]["filename"], name);
        assert_eq!(parts[part]["type"], media_type, "{name}");
        assert_eq!(parts[part]["disposition"], "attachment", "{name}");
        assert_eq!(parts[part]["bytes"], STANDARD.encode(content), "{name}");
    }
}

#[test]
fn html_that_shows_no_text_has_no_text_part() {
    let html = "<img src=\"cid:x@y\" alt=\"\"><div style=\"display:none\">hidden</div>";
    let image = json!({"filename": "a.png", "content_id": "x@y", "content": "eA=="});
    let file = json!({"filename": "a.pdf", "content": "eA=="});
    let types = |files: &[&Value], text: Option<&str>| {
        let read = read_back(&mail(json!({
            "to": "a@example.net", "subject": "s", "html": html, "text": text, "attachments": files,
        })));
        fn types_of(part: &Value) -> String {
            let kind = part["type"].as_str().expect("a type").to_owned();
            match part["parts"].as_array() {
                Some(parts) => format!("{kind}({})", parts.iter().map(types_of).collect::<Vec<_>>().join(" ")),
                None => kind,
            }
        }
        types_of(&read["body"])
    };
    for (files, text, expected) in [
        (&[][..], None, "text/html"),
        (&[], Some(" \n"), "text/html"),
        (&[], Some("t"), "multipart/alternative(text/plain text/html)"),
        (&[&image], None, "multipart/related(text/html image/png)"),
        (&[&file], None, "multipart/mixed(text/html application/pdf)"),
        (&[&image, &file], None, "multipart/mixed(multipart/related(text/html image/png) application/pdf)"),
    ] {
        assert_eq!(types(files, text), expected, "{files:?} {text:?}");
    }
}

#[test]
fn a_text_with_a_file_needs_no_alternative() {
    let file = json!({"filename": "a.png", "content_id": "x@y", "content": "eA=="});
    let mail = mail(json!({"to": "a@example.net", "subject": "s", "text": "t", "attachments": [file]}));
    let read = read_back(&mail);
    assert_eq!(read["body"]["type"], "multipart/mixed");
    assert_eq!(read["body"]["parts"][0]["text"], "t");
    assert_eq!(read["body"]["parts"][1]["disposition"], "attachment");
}

#[test]
fn unusual_bodies_are_read_back() {
    for text in [
        "",
        "\n",
        "a\r\nb\rc\nd",
        &"long ".repeat(1000),
        &"李".repeat(3000),
        "tab\there\u{b}\u{1}\0end",
        "=3D =\n=",
        "a \n b\t\n",
    ] {
        let mail = mail(json!({"to": "a@example.net", "subject": "s", "text": text}));
        let read = read_back(&mail);
        let lines = text.replace("\r\n", "\n").replace('\r', "\n");
        let got = read["body"]["text"].as_str().expect("a text");
        assert_eq!(got.trim_end_matches('\n'), lines.trim_end_matches('\n'), "{text:?}");
    }
}

#[test]
fn long_subjects_are_folded_and_read_back() {
    for subject in [
        "word ".repeat(199) + "end",
        "Zażółć gęślą jaźń ".repeat(20) + "!",
        "a".repeat(998),
        "two  spaces".into(),
        "🎉".repeat(249),
    ] {
        let mail = mail(json!({"to": "a@example.net", "subject": subject, "text": "t"}));
        let message = composed(&mail).expect("composed");
        assert_eq!(parse(&message.bytes)["headers"]["subject"], subject);
        let text = String::from_utf8(message.bytes).expect("ASCII");
        let header = text.split("Subject: ").nth(1).and_then(|rest| rest.split("\r\nAuto-").next()).expect("a subject");
        assert!(header.split("\r\n").all(|line| line.len() <= 78), "{header}");
    }
}

#[test]
fn no_value_can_inject_a_header() {
    let good = json!({"to": "a@example.net", "subject": "s", "text": "t"});
    for (change, field) in [
        (json!({"headers": {"X-A": "b\r\nBcc: evil@example.org"}}), "headers"),
        (json!({"headers": {"X-A\r\nBcc": "b"}}), "headers"),
        (json!({"headers": {"Bcc": "evil@example.org"}}), "headers"),
        (json!({"headers": {"subject": "b"}}), "headers"),
        (json!({"attachments": [{"filename": "a\r\nX: y", "content": ""}]}), "attachments"),
        (
            json!({"attachments": [{"filename": "a", "content_type": "text/plain\r\nX: y", "content": ""}]}),
            "attachments",
        ),
        (json!({"attachments": [{"filename": "a", "content_type": "nonsense", "content": ""}]}), "attachments"),
        (
            json!({"attachments": [{"filename": "a", "content_type": "multipart/mixed; boundary=x", "content": ""}]}),
            "attachments",
        ),
        (json!({"attachments": [{"filename": "a", "content_id": "x> y", "content": ""}]}), "attachments"),
        (json!({"to": []}), "to"),
    ] {
        let mut value = good.clone();
        value.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        match composed(&mail(value)).expect_err(&change.to_string()) {
            ComposeError::Invalid(problem) => assert_eq!(problem.field, field, "{change}"),
            other => panic!("{change}: {other}"),
        }
    }
    let mut unchecked = mail(good.clone());
    unchecked.to[0].name = Some("a\r\nBcc: evil@example.org".into());
    composed(&unchecked).expect_err("a line break in a name");

    // Rendered subjects are not validated with the mail; line breaks in them are removed before
    // composing.
    let rendered = Rendered::literal("a\r\nBcc: evil@example.org", Some("t"), None);
    let message =
        compose(&Arc::new(mail(good)), rendered, &identity(), Some(&"s@example.org".parse().expect("a sender")));
    let read = parse(&message.expect("composed").bytes);
    assert_eq!(read["headers"]["subject"], "a Bcc: evil@example.org");
    assert!(read["headers"].get("bcc").is_none());
}

/// Regression: more than 50 bare addresses gave a line longer than servers must accept (RFC 5321
/// §4.5.3.1.6).
#[test]
fn long_lists_are_folded_and_read_back() {
    let people = |name: &str| -> Vec<Value> {
        (0..300)
            .map(|n| json!([if n % 2 == 0 { name } else { "" }, format!("a-rather-long-local-part{n}@example.net")]))
            .collect()
    };
    for name in ["", "Ann", "Ann Mary Smith", "Smith, \"A\" \\", "Zażółć gęślą jaźń", "word ".repeat(50).trim()]
    {
        let list = people(name);
        let mailboxes: Vec<String> = list
            .iter()
            .map(|person| match (person[0].as_str(), person[1].as_str()) {
                (Some(""), Some(address)) => address.to_owned(),
                (Some(name), Some(address)) => {
                    format!("\"{}\" <{address}>", name.replace('\\', "\\\\").replace('"', "\\\""))
                }
                _ => panic!("{person}"),
            })
            .collect();
        let whole = json!({
            "from": mailboxes[0], "to": mailboxes, "cc": mailboxes, "reply_to": mailboxes[..100],
            "subject": "s", "text": "t",
        });
        let message = composed(&mail(whole)).expect("composed");
        let read = parse(&message.bytes);
        assert_eq!((&read["to"], &read["cc"]), (&json!(list), &json!(list)), "{name}");
        assert_eq!((&read["reply_to"], &read["from"]), (&json!(list[..100]), &json!([list[0]])), "{name}");
        let text = String::from_utf8(message.bytes).expect("ASCII");
        let long = text.lines().find(|line| line.len() > 78);
        assert_eq!(long, None, "{name}");
    }
}

#[test]
fn headers_of_maximum_length_are_read_back() {
    let ids: Vec<String> = (0..22).map(|n| format!("<{n:030}@example.org>")).collect();
    for (name, value) in [
        ("References", ids.join(" ")),
        ("List-Unsubscribe", format!("<https://example.org/{}>", "a".repeat(870))),
        ("X-Words", "word ".repeat(199) + "end"),
        ("X-Letters", "ż".repeat(499)),
        ("X-A-Header-With-A-Name-That-Is-As-Long-As-The-Name-Of-A-Header-May-Ever-Be-X", "a".repeat(900)),
    ] {
        let mail = mail(json!({"to": "a@example.net", "subject": "s", "text": "t", "headers": {name: value}}));
        assert_eq!(read_back(&mail)["headers"][name.to_lowercase()], value);
    }
}

#[test]
fn the_size_limit_is_enforced_exactly() {
    let mail = mail(json!({"to": "a@example.net", "subject": "s", "text": "t"}));
    let size = composed(&mail).expect("composed").bytes.len() as u64;
    assert!(composed(&mail).expect("composed").within(size).is_ok());
    let error = composed(&mail).expect("composed").within(size - 1).expect_err("too large");
    assert_eq!(error, ComposeError::TooLarge { size, limit: size - 1 });
}

#[test]
fn the_error_of_a_missing_sender_names_the_setting() {
    let mail = mail(json!({"to": "a@example.net", "subject": "s", "text": "t"}));
    let error = compose(&Arc::new(mail.clone()), rendered(&mail), &identity(), None).expect_err("no sender");
    assert!(error.to_string().contains("SMTP_MAIL_FROM"), "{error}");
}

#[test]
fn the_same_mail_gives_the_same_bytes() {
    let mail = mail(json!({
        "to": "a@example.net", "subject": "żółć", "text": "t", "html": "<p>x</p>",
        "headers": {"X-B": "1", "X-A": "2"}, "attachments": [{"filename": "a.pdf", "content": "eA=="}],
    }));
    let first = composed(&mail).expect("composed");
    assert_eq!(first, composed(&mail).expect("composed"));
    let mut other = identity();
    other.boundary_seed = "another".into();
    let sender = "Shop <shop@example.org>".parse().expect("a sender");
    let second = compose(&Arc::new(mail.clone()), rendered(&mail), &other, Some(&sender)).expect("composed");
    assert_ne!(first.bytes, second.bytes);
}

/// An author who knows the id of a mail may have guessed its boundaries.
#[test]
fn content_with_the_boundaries_of_a_mail_splits_no_part() {
    let holding = |held: &str| {
        mail(json!({
            "to": "a@example.net", "subject": "s", "text": format!("before\n{held}\nafter"),
            "html": format!("<p>before</p>\n{held}\n<p>after</p>"),
            "attachments": [{"filename": "a.txt", "content": "eA=="}],
        }))
    };
    let mut held = String::new();
    for _ in 0..3 {
        let message = String::from_utf8(composed(&holding(&held)).expect("composed").bytes).expect("text");
        let boundaries: Vec<_> =
            message.split("boundary=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(boundaries.len(), 2, "{message}");
        assert!(!boundaries.iter().any(|boundary| held.contains(boundary)), "{boundaries:?} in {held}");
        boundaries.iter().for_each(|boundary| held.push_str(&format!("--{boundary}--\n--{boundary}\n\nHello\n")));
        let read = read_back(&holding(&held));
        let parts = &read["body"]["parts"];
        assert_eq!(parts.as_array().map(Vec::len), Some(2), "{read}");
        assert_eq!(parts[0]["parts"].as_array().map(Vec::len), Some(2), "{read}");
        assert_eq!(parts[0]["parts"][0]["text"], format!("before\n{held}\nafter"));
    }
}

#[test]
fn a_large_text_is_composed_in_linear_time() {
    let mail = mail(json!({"to": "a@example.net", "subject": "s", "text": "a line\n".repeat(400_000)}));
    let start = std::time::Instant::now();
    composed(&mail).expect("composed");
    // Quadratic time would be minutes.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

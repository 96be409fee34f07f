//! Fuzz targets: mailboxes and payloads, as applications and Redis supply them.

use postroom_testkit::fuzz::{self, Case, Fuzz};

use crate::{EmailAddress, EnvelopePattern, Mail, Mailbox, MailboxList, payload};

const MAILBOXES: [&str; 22] = [
    "a@example.org",
    "Ann <ann@example.org>",
    "<b@example.org>",
    "\"O'Brien, \\\"Bob\\\"\" <b@example.org>",
    "Żaneta Ёлка <z@example.org>",
    "info@żółw.pl",
    "z\u{307}@example.org",
    "root@localhost",
    "x+y=z!#$%&'*/?^_`{|}~@sub.example.co.uk",
    "a\r\nRCPT TO:<b@c>@example.org",
    "\" \\\\ \" <a@xn--w-uga1v8h.pl>",
    "李雷 <l@例え.jp>",
    "a <b> <c@d>",
    "a@[127.0.0.1]",
    "\"ann lee\"@[IPv6:2001:db8::1]",
    "Ann <ann@example.org>, Acme, Inc. <info@example.org>;",
    "Team: ann@example.org, ben@example.org;, undisclosed-recipients:;",
    "ann(work)@example.org (Ann (the boss) Lee)",
    "=?utf-8?q?=C5=BB?= =?utf-8?b?xbs=?= <z@example.org>",
    "<mailto:ann%2Bnews@example.org?subject=x>",
    "bounces+{id}@example.org",
    "<>",
];

const HEADERS: [&str; 3] = [
    "1 0 1732300000000 1732300000000 0 86400000 6 15000 resend 2592000000 3000 60000 - -",
    "1 9 1732300000000 1732300000000 1732300600000 259200000 3 15000 hold 0 600000 0 \
     b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV -",
    "1 5 1 1 0 1 1 1 fail 0 1 1 - sensitive",
];

const MAILS: [&str; 5] = [
    r#"{"to":["Ann <a@example.org>"],"subject":"Hi","text":"x"}"#,
    concat!(
        r#"{"from":"s@example.org","to":"a@example.org","cc":["b@example.org"],"bcc":[],"#,
        r#""headers":{"X-A":"b"},"html":"<p>x</p>","subject":"ż"}"#
    ),
    r#"{"to":["a@example.org"],"template":"news","locale":"pl-PL","vars":{"a":1,"b":[null,true,{"c":1.5e300}]}}"#,
    concat!(
        r#"{"to":["a@example.org"],"subject":"","text":"","attachments":[{"filename":"a.pdf","content":"aGVsbG8="},"#,
        r#"{"filename":"b.png","content_id":"x@y","content":"#,
        r#""sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824:5000"}]}"#
    ),
    concat!(
        r#"{"to":["a@example.org"],"subject":"s","text":"#,
        r#"{"sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":20000}}"#
    ),
];

#[test]
fn mailbox() {
    let tokens = [
        "@",
        "<",
        ">",
        "\"",
        "\\",
        " ",
        "\r\n",
        "\0",
        "xn--",
        ".",
        "..",
        "ß",
        "İ",
        "\u{a0}",
        "\u{200d}",
        "\u{202e}",
        "\u{2028}",
        ",",
        ";",
        ":",
        "(",
        ")",
        "[",
        "]",
        "mailto:",
        "=?utf-8?q?",
        "?=",
        "\r\n ",
        "%40",
        "IPv6:",
        "{id}",
    ];
    Fuzz::target("mailbox").seeds(MAILBOXES).tokens(&tokens).run(|case: &mut Case<'_>| {
        let text = case.text();
        if let Ok(address) = text.parse::<EmailAddress>() {
            check_address(&address);
        }
        if let Ok(mailbox) = text.parse::<Mailbox>() {
            check_mailbox(&mailbox);
            assert_eq!(text.parse::<MailboxList>(), Ok(MailboxList(vec![mailbox])), "the list differs");
        }
        text.parse::<MailboxList>().iter().flat_map(|list| &list.0).for_each(check_mailbox);
        if let Ok(pattern) = text.parse::<EnvelopePattern>() {
            assert_eq!(pattern.to_string().parse().as_ref(), Ok(&pattern));
            let _ = pattern.of_job("emails-01ARZ3NDEKTSV4RRFFQ69G5FAV");
        }
    });
}

fn check_address(address: &EmailAddress) {
    let text = address.as_str();
    assert!(text.len() <= 254 && !text.chars().any(char::is_control), "{text:?}");
    let (local, domain) = (address.local(), address.domain());
    let is_special = |c: char| "<>\"\\,;:()[]@".contains(c) || c.is_whitespace();
    let content = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    assert!(
        content.map_or(!local.is_empty() && !local.contains(is_special), |content| !content.is_empty()),
        "{text:?}"
    );
    let literal = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = literal.map(|text| text.strip_prefix("IPv6:").unwrap_or(text).parse::<std::net::IpAddr>());
    assert!(ip.map_or(domain.is_ascii() && !domain.contains(is_special), |ip| ip.is_ok()), "{text:?}");
    assert!(literal.is_some() || domain == domain.to_ascii_lowercase(), "{text:?}");
    assert_eq!(text.parse().as_ref(), Ok(address), "the normal form parses to another address");
    assert!(address.masked().chars().count() <= 5 + address.domain().len(), "{}", address.masked());
    let json = serde_json::to_string(address).expect("JSON");
    assert_eq!(serde_json::from_str::<EmailAddress>(&json).ok().as_ref(), Some(address));
}

fn check_mailbox(mailbox: &Mailbox) {
    let name = mailbox.name.as_deref().unwrap_or("x");
    assert!(!name.is_empty() && !name.chars().any(char::is_control), "{name:?}");
    let text = mailbox.to_string();
    assert!(!text.contains(['\r', '\n', '\0']), "{text:?}");
    assert_eq!(text.parse().as_ref(), Ok(mailbox), "written as {text:?}");
}

#[test]
fn payload() {
    let tokens = [
        "\n",
        "\"",
        "{",
        "}",
        "[",
        "]",
        "null",
        "\"vars\":",
        "\"to\":",
        "sha256:",
        "\\u0000",
        "\\ud800",
        "-",
        " ",
        "1e999",
        "b.bulk.",
    ];
    let plain = MAILS.iter().flat_map(|mail| HEADERS.map(|header| format!("{header}\n{mail}")));
    let sensitive = MAILS.iter().map(|mail| format!("{}\n{mail}\n{{\"code\":\"1234\"}}", HEADERS[2]));
    let fuzz = Fuzz::target("payload").seeds(plain).seeds(sensitive).tokens(&tokens);
    fuzz.run(|case: &mut Case<'_>| {
        let text = case.text();
        // Other JSON that Redis stores beside payloads.
        let _ = serde_json::from_str::<crate::RecipientReport>(&text);
        let _ = serde_json::from_str::<crate::store::ProcessInfo>(&text);
        if let Ok((header, mail)) = payload::decode(&text) {
            check_payload(text.split('\n').next().unwrap_or_default(), &header, &mail);
        }
    });
}

/// Checks that a decoded mail survives encoding and decoding.
fn check_payload(line: &str, header: &crate::Header, mail: &Mail) {
    for sensitive in [false, true] {
        let stored = payload::encode_content(mail, sensitive).expect("JSON");
        assert_eq!(stored.lines().count(), if sensitive { 2 } else { 1 }, "{stored}");
        let (decoded_header, decoded) = payload::decode(&format!("{line}\n{stored}")).expect("an encoded payload");
        assert_eq!(&decoded_header, header);
        let json = |mail: &Mail| fuzz::rounded(serde_json::to_value(mail).expect("JSON"));
        assert_eq!(json(&decoded), json(&mail.without_large_contents()), "{stored}");
    }
    let _ = (mail.check(), mail.recipients(), mail.content_bytes());
}

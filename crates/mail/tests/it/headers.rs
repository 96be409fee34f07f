//! Headers that are made from templates.

use std::sync::Arc;

use postroom_core::Mail;
use postroom_mail::{HeaderTemplates, Rendered, Templates, Variables, compose};
use serde_json::{Map, Value, json};

use crate::{identity, parser::parse, templates::folder};

fn mail(fields: &Value) -> Mail {
    let mut mail = json!({"to": "ann@example.org", "template": "t"});
    mail.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    serde_json::from_value(mail).expect("a mail")
}

fn rendered(headers: &str, fields: &Value) -> Result<Rendered, String> {
    let folder = folder(&[("t/subject.txt", "s"), ("t/body.txt", "x"), ("t/headers.toml", headers)]);
    let templates = Templates::load(folder.path()).map_err(|error| error.to_string())?;
    templates.render_mail(&mail(fields)).map_err(|error| error.to_string())
}

fn check(headers: &str, fields: &Value, expected: Result<&[(&str, &str)], &str>) {
    let found = rendered(headers, fields).map(|rendered| rendered.headers);
    let pairs = |pairs: &[(&str, &str)]| -> Map<String, Value> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
    };
    assert_eq!(found, expected.map(pairs).map_err(str::to_owned), "{headers} {fields}");
}

#[test]
fn a_template_has_headers() {
    let one_click = "List-Unsubscribe = \"<{{ url }}>, <mailto:out@example.org?subject={{ email }}>\"\n\
                     List-Unsubscribe-Post = \"List-Unsubscribe=One-Click\"\n";
    check(one_click, &json!({"vars": {"url": "https://example.org/u?a=1&b=ü#c"}}), {
        Ok(&[
            ("List-Unsubscribe", {
                "<https://example.org/u?a=1&b=ü#c>, <mailto:out@example.org?subject=ann@example.org>"
            }),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ])
    });
    let optional = "List-Unsubscribe = \"{% if url is defined %}<{{ url }}>{% endif %}\"\nX-A = '''\nb\n  c\n'''\n";
    check(optional, &json!({}), Ok(&[("X-A", "b c")]));
    check("X-Name = \"{{ imię }}\"", &json!({"vars": {"imię": "Zoë"}}), Ok(&[("X-Name", "Zoë")]));
    check("# nothing", &json!({}), Ok(&[]));
}

#[test]
fn a_hostile_value_stays_in_its_place() {
    let url = "X-A = \"1\"\n\nX-U = \"<{{ v }}>\"";
    for (value, expected) in [
        ("https://a/\r\nBcc: b@example.org", "<https://a/%0D%0ABcc:%20b@example.org>"),
        ("a>, <mailto:b@example.org", "<a%3E,%20%3Cmailto:b@example.org>"),
        ("a\u{2028}b\u{85}\"\\", "<a%E2%80%A8b%C2%85%22%5C>"),
        ("  https://ü.example/%20 ", "<https://ü.example/%20>"),
    ] {
        check(url, &json!({"vars": {"v": value}}), Ok(&[("X-A", "1"), ("X-U", expected)]));
    }
    let text = "X-T = \"a {{ v }}\"";
    for (value, expected) in [
        ("b\r\nBcc: c@example.org", "a b Bcc: c@example.org"),
        ("b\nc\0d\re", "a b c d e"),
        ("{{ v }}", "a {{ v }}"),
        ("<b>", "a <b>"),
    ] {
        check(text, &json!({"vars": {"v": value}}), Ok(&[("X-T", expected)]));
    }
    let long = json!({"vars": {"v": "x".repeat(10 << 10)}});
    let problem = "template t: t/headers.toml, line 3: X-U: the value has 10242 octets; it may have 998";
    check(url, &long, Err(problem));
    let empty = "template t: t/headers.toml, line 3: X-U: nothing is between < and >; \
                 {% if … %} around the whole value leaves the header out";
    check(url, &json!({"vars": {"v": ""}}), Err(empty));
    check(url, &json!({"vars": {"v": " \r\n "}}), Err(empty));
}

#[test]
fn an_error_names_file_and_line() {
    for (headers, problem) in [
        ("X-A = \"1\"\nX-B = \"{{ nmae }}\"", {
            "template t: t/headers.toml, line 2: X-B: Variable `nmae` is not defined. \
             Available variables: email, name"
        }),
        ("X-B = \"<{{ nmae }}>\"", {
            "template t: t/headers.toml, line 1: X-B: Variable `nmae` is not defined. \
             Available variables: email, name"
        }),
        ("X-A = '''\n\n{{ nmae }}'''", {
            "template t: t/headers.toml, line 3: X-A: Variable `nmae` is not defined. \
             Available variables: email, name"
        }),
    ] {
        check(headers, &json!({"vars": {"name": "a"}}), Err(problem));
    }
    for (headers, problem) in [
        ("X-A = \"1\"\nSubject = \"a\"", {
            "t/headers.toml, line 2: Subject can't be set as a header; its source is subject"
        }),
        ("X-A = \"1\"\nx-a = \"2\"", "t/headers.toml, line 2: x-a is set twice"),
        ("X-A = 1", "t/headers.toml, line 1: the value of X-A is not a string"),
        (
            "\"X A\" = \"1\"",
            "t/headers.toml, line 1: \"X A\" is not a header name; it may contain letters, digits and -",
        ),
    ] {
        check(headers, &json!({}), Err(problem));
    }
    for headers in ["X-A = \"{{ a \"", "X-A = \n", "X-A = \"1\"\nX-B = \"{% if %}\"", "X-A = \"{{ a | nosuch }}\""] {
        let error = rendered(headers, &json!({})).expect_err(headers);
        let line = if headers.contains("X-B") { 2 } else { 1 };
        assert!(error.starts_with(&format!("t/headers.toml, line {line}: ")), "{error}");
    }
    let folder = folder(&[("parts/a/headers.toml", "X-A = \"1\"")]);
    let error = Templates::load(folder.path()).expect_err("misplaced").to_string();
    assert_eq!(error, "parts/a/headers.toml: a headers.toml belongs in the folder of a template");
}

#[test]
fn languages_have_their_own_headers() {
    let folder = folder(&[
        ("t/subject.txt", "s"),
        ("t/body.txt", "x"),
        ("t/headers.toml", "X-A = \"en\""),
        ("t/headers.pl.toml", "X-A = \"pl\""),
    ]);
    let templates = Templates::load(folder.path()).expect("loaded");
    let hash = templates.hash("t");
    for (locale, expected) in [("de", "en"), ("pl-PL", "pl")] {
        let rendered = templates.render_mail(&mail(&json!({"locale": locale}))).expect("rendered");
        assert_eq!(rendered.headers["X-A"], expected);
    }
    std::fs::write(folder.path().join("t/headers.pl.toml"), "X-A = \"other\"").expect("written");
    templates.reload().expect("reloaded");
    assert_ne!(templates.hash("t"), hash);
}

/// The headers of the mail override those of the template, in any letter case.
#[test]
fn they_are_written_and_overridden() {
    let headers = "List-Unsubscribe = \"<https://example.org/{{ email | urlencode }}>\"\nX-A = \"template\"";
    let fields = json!({"from": "desk@example.org", "headers": {"x-a": "mail"}});
    let (mail, rendered) = (mail(&fields), rendered(headers, &fields).expect("rendered"));
    let message = compose(&Arc::new(mail), rendered, &identity(), None).expect("composed");
    let text = String::from_utf8(message.bytes).expect("ASCII");
    assert!(text.contains("\r\nList-Unsubscribe: <https://example.org/ann%40example.org>\r\n"), "{text}");
    assert!(text.contains("\r\nx-a: mail\r\n") && !text.contains("template"), "{text}");
    assert_eq!(parse(text.as_bytes())["headers"]["x-a"], "mail");
}

#[test]
fn headers_of_a_bulk_are_rendered_for_each_mail() {
    let header = |value: &str| vec![("List-Unsubscribe".to_owned(), value.to_owned())];
    let headers = HeaderTemplates::parse(&header("<{{ base }}/{{ email | urlencode }}>")).expect("valid");
    let shared = Variables::of(json!({"base": "https://example.org"}).as_object().expect("an object"));
    let found = headers.render(&shared, &mail(&json!({}))).expect("rendered");
    assert_eq!(Value::from(found), json!({"List-Unsubscribe": "<https://example.org/ann%40example.org>"}));
    let own = mail(&json!({"headers": {"list-unsubscribe": "<https://example.com>"}}));
    assert_eq!(headers.render(&shared, &own).expect("rendered"), Map::new());
    let error = headers.render(&Variables::default(), &mail(&json!({}))).expect_err("undefined");
    let message = "List-Unsubscribe: Variable `base` is not defined. Available variables: email";
    assert_eq!(error.message, message);
    for (value, problem) in [("<{{ a", "--header: List-Unsubscribe: "), ("{{ a | nosuch }}", "--header: List-Unsubs")] {
        let error = HeaderTemplates::parse(&header(value)).expect_err(value).to_string();
        assert!(error.starts_with(problem), "{error}");
    }
}

//! Mails as programs write them, each with the mail that is stored or the exact error.

use serde_json::json;

use super::*;

const MAIL: &str = r#""to": "a@example.org", "subject": "s", "text": "t""#;

fn with(more: &str) -> Result<Mail, InvalidInput> {
    Mail::from_json(format!("{{{MAIL}, {more}}}").as_bytes())
}

/// Checks the stored form of a mail that has `more` beside its address, subject and text.
#[track_caller]
fn check(more: &str, stored: &Value) {
    let mail = with(more).unwrap_or_else(|error| panic!("{more}: {error}"));
    let mut expected = json!({"to": ["a@example.org"], "subject": "s", "text": "t"});
    expected.as_object_mut().expect("an object").extend(stored.as_object().expect("an object").clone());
    assert_eq!(serde_json::to_value(&mail).expect("JSON"), expected, "{more}");
}

#[track_caller]
fn check_error(more: &str, expected: &str) {
    assert_eq!(with(more).expect_err(more).to_string(), expected, "{more}");
}

#[test]
fn absent_values_are_omitted() {
    let fields = ["from", "cc", "bcc", "reply_to", "headers", "template", "vars", "locale", "html", "attachments"];
    for field in fields {
        for absent in ["null", "\"\"", "[\"\"]", "[]", "[null, \"\"]"] {
            if field != "html" || !absent.starts_with('[') {
                check(&format!("\"{field}\": {absent}"), &json!({}));
            }
        }
    }
    for absent in ["{}", "{\"name\": \"\", \"email\": null}", "[{\"email\": \"\"}, \" \"]"] {
        check(&format!("\"cc\": {absent}, \"from\": {absent}"), &json!({}));
    }
    // An empty header of a row removes that of its batch.
    check(r#""headers": {"X-A": null, "X-B": "", "X-C": "c"}"#, &json!({"headers": {"X-B": "", "X-C": "c"}}));
    check(r#""html": "<p>h</p>""#, &json!({"html": "<p>h</p>"}));
}

/// An empty body is kept if the mail has no other content, and omitted beside other content.
#[test]
fn an_empty_body_is_absent_beside_other_content() {
    for (bodies, stored) in [
        (r#""text": "", "html": "h""#, json!({"html": "h"})),
        (r#""text": "t", "html": """#, json!({"text": "t"})),
        (r#""text": "", "html": """#, json!({"text": ""})),
        (r#""text": """#, json!({"text": ""})),
        (r#""text": "", "template": "x""#, json!({"template": "x"})),
        (r#""text": null"#, json!({})),
    ] {
        let mail = Mail::from_json(format!("{{{bodies}}}").as_bytes()).expect(bodies);
        assert_eq!(serde_json::to_value(&mail).expect("JSON"), stored, "{bodies}");
    }
}

#[test]
fn addresses_have_several_forms() {
    let ann = json!(["Ann <ann@example.org>"]);
    for (form, stored) in [
        (r#""ann@example.org""#, json!(["ann@example.org"])),
        (r#""Ann <ann@example.org>""#, ann.clone()),
        (r#"{"name": "Ann", "email": "ann@example.org"}"#, ann.clone()),
        (r#"{"name": "Ann", "address": "ann@example.org"}"#, ann.clone()),
        (r#"{"Name": "Ann", "Email": "ann@example.org"}"#, ann.clone()),
        (r#"[{"email": "Ann <ann@example.org>", "name": null}]"#, ann.clone()),
        (r#"{"email": "Old <ann@example.org>", "name": "Ann"}"#, ann.clone()),
        (r#"{"email": "ann@example.org"}"#, json!(["ann@example.org"])),
        (r#"{"name": "Acme, Inc. <x>", "email": "a@b.org"}"#, json!(["\"Acme, Inc. <x>\" <a@b.org>"])),
        (
            r#"["a@b.org", "Ann <ann@example.org>", {"email": "c@d.org", "name": "Żółć"}, ""]"#,
            json!(["a@b.org", "Ann <ann@example.org>", "Żółć <c@d.org>"]),
        ),
    ] {
        for field in ["cc", "bcc", "reply_to", "replyTo", "Reply-To"] {
            let name = if field.starts_with(['r', 'R']) { "reply_to" } else { field };
            check(&format!("\"{field}\": {form}"), &json!({name: stored}));
        }
    }
    check(r#""from": [{"name": "Ann", "email": "ann@example.org"}]"#, &json!({"from": "Ann <ann@example.org>"}));
    for (more, expected) in [
        (
            r#""cc": ["a@b.org", 5]"#,
            "cc[1]: the number 5 is not valid; it may be an address, such as \"Ann <ann@example.org>\" or {\"name\": \
             \"Ann\", \"email\": \"ann@example.org\"}",
        ),
        (
            r#""cc": [["a@b.org"]]"#,
            "cc[0]: a list is not valid; it may be an address, such as \"Ann <ann@example.org>\" or {\"name\": \
             \"Ann\", \"email\": \"ann@example.org\"}",
        ),
        (r#""cc": ["a@b.org", "nobody"]"#, "cc[1]: \"nobody\" is not an e-mail address: it has no @"),
        (r#""cc": {"email": "nobody"}"#, "cc.email: \"nobody\" is not an e-mail address: it has no @"),
        (r#""cc": {"name": "Ann"}"#, "cc.email: the field is missing; it may be an address, such as ann@example.org"),
        (r#""cc": {"email": "a@b.org", "type": "cc"}"#, "cc.type: there is no such field; it may be email, name"),
        (
            r#""cc": {"email": "a@b.org", "name": 5}"#,
            "cc.name: the number 5 is not valid; it may be a text in quotes, such as \"5\"",
        ),
        (r#""from": ["a@b.org", "c@d.org"]"#, "from: it has 2 addresses; it may have one"),
    ] {
        check_error(more, expected);
    }
}

#[test]
fn an_attachment_has_several_forms() {
    let file = |more: Value| {
        let mut file = json!({"filename": "a.txt", "content": "SGk/Pj4+IQ=="});
        file.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({"attachments": [file]})
    };
    for content in [
        r#""SGk/Pj4+IQ==""#,
        r#""SGk/Pj4+IQ""#,
        r#""SGk_Pj4-IQ==""#,
        r#""SGk_Pj4-IQ""#,
        r#""SGk/\r\nPj4+\r\nIQ==\r\n""#,
        r#""SGk/Pj4+\nIQ""#,
        r#"" SGk/Pj4+IQ== ""#,
        r#""data:;base64,SGk/Pj4+IQ==""#,
        r#"{"type": "Buffer", "data": [72, 105, 63, 62, 62, 62, 33]}"#,
    ] {
        check(&format!(r#""attachments": [{{"filename": "a.txt", "content": {content}}}]"#), &file(json!({})));
    }
    check(r#""attachments": [{"filename": "a.txt", "content": "Hi?>>>!", "encoding": "utf8"}]"#, &file(json!({})));
    for (more, stored) in [
        (r#""name": "a.txt""#, json!({})),
        (r#""Filename": "a.txt", "ContentType": "text/x""#, json!({"content_type": "text/x"})),
        (
            r#""filename": "a.txt", "type": "text/x", "cid": "i@x""#,
            json!({"content_type": "text/x", "content_id": "i@x"}),
        ),
        (r#""filename": "a.txt", "contentType": "", "contentId": null"#, json!({})),
    ] {
        check(&format!(r#""attachments": {{{more}, "content": "SGk/Pj4+IQ=="}}"#), &file(stored));
    }
    let url = |more: &str| {
        format!(r#""attachments": [{{"name": "a.txt", "content": "data:text/x;base64,SGk/Pj4+IQ"{more}}}]"#)
    };
    check(&url(""), &file(json!({"content_type": "text/x"})));
    check(&url(r#", "content_type": "text/y""#), &file(json!({"content_type": "text/y"})));
    check(
        r#""attachments": [{"filename": "a", "content": ""}]"#,
        &json!({"attachments": [{"filename": "a", "content": ""}]}),
    );
}

#[test]
fn a_bad_attachment_is_reported_with_its_path() {
    let forms = "it may be base64, a data: URL, or any text with \"encoding\": \"utf8\"";
    for (file, expected) in [
        (
            r#""content": "aGk=""#,
            "filename: the field is missing; it may be the name that the recipient sees, such as report.pdf",
        ),
        (r#""filename": "a""#, &format!("content: the field is missing; {forms}")),
        (r#""filename": "a", "content": null"#, &format!("content: the field is missing; {forms}")),
        (r#""filename": "a", "content": 5"#, &format!("content: the number 5 is not valid; {forms}")),
        (
            r#""filename": "a", "content": "Hello world""#,
            &format!("content: the content is not base64: it contains ' '; {forms}"),
        ),
        (
            r#""filename": "a", "content": "żaba""#,
            &format!("content: the content is not base64: it contains 'ż'; {forms}"),
        ),
        (
            r#""filename": "a", "content": "Hello\nworld, hello""#,
            &format!("content: the content is not base64: its lines have different lengths; {forms}"),
        ),
        (
            r#""filename": "a", "content": "aGk=aGk=""#,
            &format!("content: the content is not base64: a = stands before its end; {forms}"),
        ),
        (
            r#""filename": "a", "content": "aGkab""#,
            &format!("content: the content is not base64: it seems to be cut off; {forms}"),
        ),
        (
            r#""filename": "a", "content": "ab+_""#,
            &format!(
                "content: the content is not base64: it has characters of two alphabets, + or / and - or _; {forms}"
            ),
        ),
        (
            r#""filename": "a", "content": "data:text/plain,Hi""#,
            "content: a data: URL may be data:TYPE;base64,CONTENT, such as data:text/plain;base64,SGk=",
        ),
        (
            r#""filename": "a", "content": {"type": "Buffer", "data": [256]}"#,
            "content: the data of a Buffer may be a list of numbers from 0 to 255",
        ),
        (
            r#""filename": "a", "content": "", "encoding": "hex""#,
            "encoding: \"hex\" is not an encoding; it may be base64 or utf8",
        ),
        (
            r#""filename": "a", "content": "", "content_type": true"#,
            "content_type: the value true is not valid; it may be a text in quotes",
        ),
        (
            r#""filename": "a", "path": "/etc/passwd""#,
            "path: there is no such field (did you mean content?); it may be filename, content_type, content_id, \
             content, encoding",
        ),
        (r#""filename": "a", "name": "b", "content": """#, "name: the field filename is set twice, under two names"),
    ] {
        check_error(
            &format!(r#""attachments": [{{"filename": "x", "content": ""}}, {{{file}}}]"#),
            &format!("attachments[1].{expected}"),
        );
    }
    check_error(
        r#""attachments": ["a.pdf"]"#,
        "attachments[0]: the text \"a.pdf\" is not valid; it may be an object, such as {\"filename\": \"a.pdf\", \
         \"content\": \"base64 of the file\"}",
    );
}

#[test]
fn a_field_of_another_kind_is_reported() {
    for (field, expected) in [
        (r#""subject": 5"#, "subject: the number 5 is not valid; it may be a text in quotes, such as \"5\""),
        (r#""subject": false"#, "subject: the value false is not valid; it may be a text in quotes"),
        (r#""text": {"content": "x"}"#, "text: an object is not valid; it may be a text in quotes"),
        (r#""template": ["a"]"#, "template: a list is not valid; it may be a text in quotes"),
        (
            r#""headers": {"X-Priority": 1}"#,
            "headers.X-Priority: the number 1 is not valid; it may be a text in quotes, such as \"1\"",
        ),
        (r#""headers": ["X-A: b"]"#, "headers: a list is not valid; it may be an object, such as {\"name\": \"Ann\"}"),
        (r#""vars": "x""#, "vars: the text \"x\" is not valid; it may be an object, such as {\"name\": \"Ann\"}"),
        (r#""variables": {}, "vars": {}"#, "vars: the field vars is set twice, under two names"),
        (
            r#""sbject": "x""#,
            "sbject: there is no such field (did you mean subject?); it may be from, envelope_from, to, cc, bcc, \
             reply_to, headers, subject, text, html, template, vars, locale, attachments",
        ),
        (
            r#""email": "x""#,
            "email: there is no such field (did you mean to?); it may be from, envelope_from, to, cc, bcc, \
             reply_to, headers, subject, text, html, template, vars, locale, attachments",
        ),
        (r#""to": "x""#, "JSON: the key \"to\" occurs twice in one object, character 6"),
    ] {
        let text = format!("{{{field}}}");
        let text = if field.starts_with(r#""to""#) { format!("{{\"to\":\"y\",{field}}}") } else { text };
        let found = Mail::from_json(text.as_bytes()).expect_err(field).to_string();
        let (found, expected) = match field.starts_with(r#""to""#) {
            true => (
                found.split(", character").next().expect("text").to_owned(),
                expected.split(", character").next().expect("text"),
            ),
            false => (found, expected),
        };
        assert_eq!(found, expected, "{field}");
    }
    assert_eq!(
        Mail::from_json(b"[]").expect_err("a list").to_string(),
        "JSON: a list is not valid; it may be an object, such as {\"to\": \"ann@example.org\"}"
    );
}

/// Variables keep the types of JSON.
#[test]
fn variables_are_values() {
    let vars = json!({"a": 1, "b": [true, null, 1.5], "c": {"d": ""}});
    for name in ["vars", "variables", "Vars"] {
        check(&format!("\"{name}\": {vars}"), &json!({"vars": vars}));
    }
    check(r#""vars": {"a": "", "b": null}"#, &json!({"vars": {"a": "", "b": null}}));
}

/// The direct way and the way through values read the same mail, for each field of a mail.
#[test]
fn both_ways_read_the_stored_form() {
    let stored = json!({
        "from": "F <f@example.org>", "to": ["A <a@example.org>", "b@example.org"], "cc": ["c@example.org"],
        "bcc": ["d@example.org"], "reply_to": ["\"R, r\" <r@example.org>"], "headers": {"X-A": "b"}, "subject": "s",
        "text": "t", "html": "h", "template": "x", "vars": {"a": [1, {"b": null}]}, "locale": "pl",
        "attachments": [{"filename": "a", "content_type": "a/b", "content_id": "c", "content": "aGk="}],
    });
    let direct: Mail = serde_json::from_value(stored.clone()).expect("a mail");
    let Value::Object(object) = stored.clone() else { unreachable!() };
    assert_eq!(Mail::from_json_object(object), Ok(direct.clone()));
    assert_eq!(serde_json::to_value(&direct).expect("JSON"), stored);
    let names: std::collections::BTreeSet<&str> = FIELDS.iter().map(|field| field.name).collect();
    let error = serde_json::from_str::<Mail>(r#"{"no such field": 1}"#).expect_err("an unknown field").to_string();
    let known: std::collections::BTreeSet<&str> = error.split('`').skip(3).step_by(2).collect();
    assert_eq!(names, known, "the table lacks a field of the mail");
}

//! Names of variables, the fields of a mail as variables, and the errors about them.

use postroom_core::Mail;
use postroom_mail::{Templates, Variables};
use serde_json::{Value, json};

use crate::templates::folder;

/// Renders a text body for a mail with these fields.
fn text_of(body: &str, fields: &Value) -> Result<String, String> {
    let folder = folder(&[("t/subject.txt", "s"), ("t/body.txt", body)]);
    let templates = Templates::load(folder.path()).map_err(|error| error.to_string())?;
    let mut mail = json!({"to": "ann@example.org", "template": "t"});
    mail.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    let mail: Mail = serde_json::from_value(mail).expect("a mail");
    templates.render_mail(&mail).map(|rendered| rendered.text).map_err(|error| error.to_string())
}

#[test]
fn every_name_is_reachable() {
    let vars = json!({"vars": {
        "First Name": "Ann", "last-name": "Lee", "imię": "Ania", "straße": "Weg 1", "名前": "安", "Größe (cm)": "170",
        "2nd line": "b", "in": "c", "City": "Łódź", "a": {"ulica": "d", "miejscowość": "e"}, "vars": {"x": "f"}
    }});
    for (body, expected) in [
        ("{{ first_name }}", "Ann"),
        ("{{ vars[\"First Name\"] }}", "Ann"),
        ("{{ last_name }} {{ vars['last-name'] }}", "Lee Lee"),
        ("{{ imię }} {{ vars[\"imię\"] }}", "Ania Ania"),
        ("{{ imie\u{328} }}", "Ania"),
        ("{{ straße | upper }}", "WEG 1"),
        ("{{ 名前 }}", "安"),
        ("{{ größe_cm }} {{ vars[\"Größe (cm)\"] }}", "170 170"),
        ("{{ _2nd_line }} {{ vars[\"2nd line\"] }}", "b b"),
        ("{{ vars[\"in\"] }}", "c"),
        ("{{ City }} {{ city }}", "Łódź Łódź"),
        ("{{ a.miejscowość }} {{ a.ulica }}", "e d"),
        ("{{ vars.x }}", "f"),
        ("{% for słowo in [\"a\", \"b\"] %}{{ słowo }}{% endfor %}{% set ż = 1 %}{{ ż }}", "ab1"),
        ("{% if imię is defined and nieznane is undefined %}x{% endif %}", "x"),
    ] {
        assert_eq!(text_of(body, &vars).as_deref(), Ok(expected), "{body}");
    }
}

#[test]
fn names_in_other_forms_are_found() {
    // Files from macOS have decomposed letters.
    assert_eq!(text_of("{{ imię }}", &json!({"vars": {"imie\u{328}": "a"}})).as_deref(), Ok("a"));
    // An exact name precedes a short one.
    let both = json!({"vars": {"name": "exact", "Name": "other"}});
    assert_eq!(text_of("{{ name }} {{ Name }}", &both).as_deref(), Ok("exact other"));
}

#[test]
fn a_row_overrides_what_the_batch_shares_by_short_name_too() {
    let folder = folder(&[("t/subject.txt", "s"), ("t/body.txt", "{{ first_name }}")]);
    let templates = Templates::load(folder.path()).expect("loaded");
    for (shared, own) in [("first_name", "First Name"), ("First Name", "first_name"), ("FIRST NAME", "First Name")] {
        let shared = Variables::of(json!({shared: "shared"}).as_object().expect("an object"));
        let mail: Mail = serde_json::from_value(json!({"to": "a@example.org", "template": "t", "vars": {own: "own"}}))
            .expect("mail");
        assert_eq!(templates.render_mail_over(&shared, &mail).expect("rendered").text, "own");
    }
}

#[test]
fn fields_of_the_mail_are_variables() {
    for (body, fields, expected) in [
        ("{{ email }}", json!({"to": "Ann <ann@example.org>"}), "ann@example.org"),
        ("{{ email }}", json!({"cc": "b@example.org"}), "ann@example.org"),
        ("{{ email }}", json!({"vars": {"email": "own"}}), "own"),
        ("{{ subject }}, {{ locale }}", json!({"subject": "Hi", "locale": "pl"}), "Hi, pl"),
        ("{{ subject }}", json!({"subject": "Hi", "vars": {"subject": "own"}}), "own"),
        (
            "{{ from }} {{ reply_to }} {{ cc }}",
            { json!({"from": "A <a@example.org>", "reply_to": ["b@example.org", "c@example.org"], "cc": "d@e.org"}) },
            "A <a@example.org> b@example.org, c@example.org d@e.org",
        ),
    ] {
        assert_eq!(text_of(body, &fields).as_deref(), Ok(expected), "{body} {fields}");
    }
}

#[test]
fn an_unknown_variable_is_reported_with_all_that_there_are() {
    for (body, fields, message) in [
        ("a\n{{ nmae }}", json!({"vars": {"name": 1, "imię": 2, "First Name": 3}}), {
            "template t: t/body.txt, line 2: Variable `nmae` is not defined. \
             Available variables: email, first_name, name, First Name, imię"
        }),
        ("{{ żółć }}", json!({}), {
            "template t: t/body.txt, line 1: Variable `żółć` is not defined. Available variables: email"
        }),
        ("{{ vars[\"First Name\"] }}", json!({"vars": {"name": 1}}), {
            "template t: t/body.txt, line 1: Variable `First Name` is not defined. Available variables: email, name"
        }),
        ("{{ email }}", json!({"to": ["a@example.org", "b@example.org"], "vars": {"n": 1}}), {
            "template t: t/body.txt, line 1: email is the address of a mail with one address in to; \
             this mail has 2. Variable `email` is not defined. Available variables: n"
        }),
    ] {
        assert_eq!(text_of(body, &fields).expect_err(body), message);
    }
}

#[test]
fn an_unknown_variable_in_a_filter_is_named() {
    for filter in ["urlencode", "date", "upper", "slugify", "json_encode", "striptags", "number_format", "int"] {
        let error = text_of(&format!("\n{{{{ nmae | {filter} }}}}"), &json!({})).expect_err(filter);
        let expected = "template t: t/body.txt, line 2: Variable `nmae` is not defined. Available variables: email";
        assert_eq!(error, expected, "{filter}");
    }
    let error = text_of("{{ a.b | upper }}", &json!({"vars": {"a": {"c": 1}}})).expect_err("undefined");
    assert_eq!(error, "template t: t/body.txt, line 1: Field `b` is not defined. Available fields: c");
    let error = text_of("{% if true %}{{ 1 | nosuch }}{% endif %}", &json!({})).expect_err("unknown");
    assert_eq!(error, "t/body.txt, line 1: Unknown filter `nosuch`");
}

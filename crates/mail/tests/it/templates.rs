//! Rendering, languages, errors and reloading of templates.

use std::{fs, path::Path};

use postroom_mail::{RenderError, Templates, Variables};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::{NAMES, mail};

pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        write(folder.path(), name, text);
    }
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("written");
}

fn vars(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn error_of(files: &[(&str, &str)], given: &Value) -> RenderError {
    let folder = folder(files);
    let templates = Templates::load(folder.path()).expect("loaded");
    templates.render("t", &vars(given), None).expect_err("an error")
}

#[test]
fn names_are_escaped_in_html_only_and_never_rendered() {
    let folder = folder(&[
        ("t/subject.txt", "Hi {{ name }}\n"),
        ("t/body.html", "<p>{{ name }}</p>"),
        ("t/body.txt", "Hi {{ name }}"),
    ]);
    let templates = Templates::load(folder.path()).expect("loaded");
    for name in NAMES {
        let rendered = templates.render("t", &vars(&json!({"name": name})), None).expect("rendered");
        assert_eq!(rendered.subject, format!("Hi {name}"));
        assert_eq!(rendered.text, format!("Hi {name}"));
        let escaped = name
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('\'', "&#39;")
            .replace('"', "&quot;");
        assert_eq!(rendered.html, Some(format!("<p>{escaped}</p>")));
    }
}

#[test]
fn a_missing_text_is_generated_from_the_html() {
    let folder =
        folder(&[("t/subject.txt", "s"), ("t/body.html", "<table><tr><td><p>{{ name }}</p></td></tr></table>")]);
    let templates = Templates::load(folder.path()).expect("loaded");
    for name in NAMES {
        let rendered = templates.render("t", &vars(&json!({"name": name})), None).expect("rendered");
        assert_eq!(rendered.text.trim(), name);
    }
    assert!(!templates.describe("t").expect("t").has_text);
}

#[test]
fn a_line_break_in_a_variable_stays_out_of_the_subject() {
    let folder = folder(&[("t/subject.txt", "Hi {{ name }}!\n"), ("t/body.txt", "x")]);
    let templates = Templates::load(folder.path()).expect("loaded");
    let rendered =
        templates.render("t", &vars(&json!({"name": "Ann\r\nBcc: evil@example.org"})), None).expect("rendered");
    assert_eq!(rendered.subject, "Hi Ann Bcc: evil@example.org!");
    assert_eq!(rendered.html, None);
}

#[test]
fn languages_fall_back() {
    let folder = folder(&[
        ("t/subject.txt", "en"),
        ("t/subject.pl.txt", "pl"),
        ("t/body.html", "<p>en</p>"),
        ("t/body.txt", "en text"),
        ("t/body.pl.html", "<p>pl</p>"),
    ]);
    let templates = Templates::load(folder.path()).expect("loaded");
    for (locale, subject, text) in [
        (None, "en", "en text"),
        (Some("pl-PL"), "pl", "pl\n"),
        (Some("pl"), "pl", "pl\n"),
        (Some("de-AT"), "en", "en text"),
    ] {
        let rendered = templates.render("t", &Map::new(), locale).expect("rendered");
        assert_eq!((&*rendered.subject, &*rendered.text), (subject, text), "{locale:?}");
    }
    assert_eq!(templates.describe("t").expect("t").locales, ["pl"]);
}

#[test]
fn an_undefined_variable_is_reported_with_its_line() {
    let error = error_of(&[("t/subject.txt", "s"), ("t/body.txt", "a\nb {{ nobody }}\n")], &json!({"name": "x"}));
    assert_eq!((error.file.as_deref(), error.line), (Some("t/body.txt"), Some(2)));
    assert!(error.message.contains("nobody") && !error.is_missing_template(), "{error}");
    assert!(error.to_string().starts_with("template t: t/body.txt, line 2: "), "{error}");

    let deep = error_of(&[("t/subject.txt", "{{ user.name }}"), ("t/body.txt", "x")], &json!({"user": {"age": 1}}));
    assert_eq!(deep.file.as_deref(), Some("t/subject.txt"));
    assert!(deep.message.contains("name"), "{deep}");
}

#[test]
fn an_error_names_the_line_that_the_author_wrote() {
    // Inlining joins the tag that spans three lines. The error of the layout names the layout.
    let layout = "<html><head><style>p { color: red }</style></head><body\n class=\"a\"\n id=\"b\">\n\
        {% block main %}{% endblock %}\n{{ footer }}</body></html>";
    let page = "{% extends \"layouts/base.html\" %}{% block main %}<p\n class=\"x\"\n id=\"y\">\n\
        {{ nobody }}</p>{% endblock %}";
    let files = [("layouts/base.html", layout), ("t/subject.txt", "s"), ("t/body.html", page)];
    let error = error_of(&files, &json!({}));
    assert_eq!((error.file.as_deref(), error.line), (Some("t/body.html"), Some(4)), "{error}");
    let error = error_of(&files, &json!({"nobody": 1}));
    assert_eq!((error.file.as_deref(), error.line), (Some("layouts/base.html"), Some(5)), "{error}");
}

#[test]
fn the_error_of_a_missing_template_lists_the_existing_ones() {
    let folder = folder(&[("news/subject.txt", "s"), ("news/body.txt", "t")]);
    let templates = Templates::load(folder.path()).expect("loaded");
    let error = templates.render("old", &Map::new(), None).expect_err("missing");
    assert!(error.is_missing_template());
    assert_eq!(error.to_string(), "template old: the template does not exist; the folder has news");
    for odd in ["../news", "news/body.txt", "", "layouts"] {
        assert!(templates.render(odd, &Map::new(), None).expect_err(odd).is_missing_template());
    }
}

#[test]
fn a_broken_file_is_reported_when_the_folder_is_loaded() {
    for (files, words) in [
        (&[("t/subject.txt", "s"), ("t/body.txt", "a\nb {% if %}")][..], "t/body.txt, line 2: "),
        (&[("t/subject.txt", "s"), ("t/body.html", "{% extends \"no.html\" %}")], "t/body.html: it extends no.html"),
        (&[("t/subject.txt", "s"), ("t/body.txt", "{{ x | nofilter }}")], "nofilter"),
        (&[("t/body.txt", "x")], "template t: it has no subject.txt"),
    ] {
        let folder = folder(files);
        let error = Templates::load(folder.path()).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_missing_folder_has_no_templates() {
    let templates = Templates::load("/no/such/folder").expect("nothing to load");
    assert_eq!(templates.names(), Vec::<String>::new());
    let error = templates.render("t", &Map::new(), None).expect_err("no template");
    assert!(error.is_missing_template(), "{error}");
}

#[test]
fn valid_changes_are_loaded_and_broken_ones_are_not() {
    let folder = folder(&[("t/subject.txt", "one"), ("t/body.txt", "x"), ("u/subject.txt", "u"), ("u/body.txt", "u")]);
    let templates = Templates::load(folder.path()).expect("loaded");
    let subject = || templates.render("t", &Map::new(), None).expect("rendered").subject;
    let (t, u) = (templates.hash("t"), templates.hash("u"));
    assert!(t.as_ref().is_some_and(|hash| hash.len() == 16) && t != u);

    write(folder.path(), "t/subject.txt", "second");
    templates.reload().expect("reloaded");
    assert_eq!(subject(), "second");
    assert_ne!(templates.hash("t"), t);
    assert_eq!(templates.hash("u"), u);

    write(folder.path(), "t/subject.txt", "{{ broken");
    templates.reload().expect_err("broken");
    assert_eq!(subject(), "second");

    write(folder.path(), "layouts/base.html", "shared");
    write(folder.path(), "t/subject.txt", "one");
    templates.reload().expect("reloaded");
    assert_ne!(templates.hash("u"), u, "a shared file is part of every template's hash");
}

#[test]
fn a_change_is_detected_by_polling() {
    let folder = folder(&[("t/subject.txt", "one"), ("t/body.txt", "x")]);
    let templates = Templates::load(folder.path()).expect("loaded");
    assert!(!templates.reload_if_changed().expect("no error"), "the folder was just checked");
    write(folder.path(), "t/subject.txt", "{{ broken");
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let error = loop {
        match templates.reload_if_changed() {
            Err(error) => break error.to_string(),
            Ok(reloaded) => assert!(!reloaded && std::time::Instant::now() < limit),
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert!(error.contains("t/subject.txt"), "{error}");
}

#[test]
fn a_mail_is_rendered_from_its_template_or_its_content() {
    let folder = folder(&[("t/subject.txt", "of {{ x }}"), ("t/body.txt", "{{ x }}")]);
    let templates = Templates::load(folder.path()).expect("loaded");
    let render = |value| templates.render_mail(&mail(value)).expect("rendered");
    assert_eq!(render(json!({"to": "a@b.org", "template": "t", "vars": {"x": "X"}})).subject, "of X");
    let own = render(json!({"to": "a@b.org", "template": "t", "vars": {"x": "X"}, "subject": "{{ own }}"}));
    assert_eq!((&*own.subject, &*own.text), ("{{ own }}", "X"));
    let plain = render(json!({"to": "a@b.org", "subject": "{{ s }}", "text": "{{ t }}", "html": "<p>{{ h }}</p>"}));
    assert_eq!((&*plain.subject, &*plain.text, plain.html.as_deref()), ("{{ s }}", "{{ t }}", Some("<p>{{ h }}</p>")));
}

#[test]
fn variables_of_a_mail_override_the_shared_ones() {
    let folder = folder(&[("t/subject.txt", "{{ a }} {{ b }} {{ list | length }}"), ("t/body.txt", "{{ deep.x }}")]);
    let templates = Templates::load(folder.path()).expect("loaded");
    let shared = mail(json!({"vars": {"a": "A", "b": "B", "list": [1, 2], "deep": {"x": 1}}}));
    let own = mail(json!({"to": "a@b.org", "template": "t", "vars": {"b": "own", "deep": {"x": 2}}}));
    let over = templates.render_mail_over(&Variables::of(&shared.vars), &own).expect("rendered");
    assert_eq!((&*over.subject, &*over.text), ("A own 2", "2"));
    assert_eq!(over, templates.render_mail(&own.over(&shared)).expect("rendered"));
}

#[test]
fn measuring_returns_the_size_of_the_rendered_bodies() {
    let folder = folder(&[
        ("both/subject.txt", "{{ s }}"),
        ("both/body.txt", "{{ name }}"),
        ("both/body.html", "<p>{{ name }}</p>"),
        ("html/subject.txt", "s"),
        ("html/body.html", "<p>{{ name }}</p>"),
    ]);
    let templates = Templates::load(folder.path()).expect("loaded");
    for (given, bytes) in [
        (json!({"template": "both", "vars": {"s": "s", "name": "Ann & Bob"}}), Some(9 + 20)),
        (json!({"template": "both", "vars": {"name": "Ann"}, "subject": "own"}), Some(3 + 10)),
        (json!({"template": "html", "vars": {"name": "Ann"}}), None),
        (json!({"subject": "s", "text": "t"}), None),
    ] {
        assert_eq!(templates.measure_mail(&mail(given.clone())), Ok(bytes), "{given}");
    }
    for given in [
        json!({"template": "both", "vars": {"name": "Ann"}}),
        json!({"template": "both", "vars": {"s": "s"}}),
        json!({"template": "other"}),
    ] {
        let mail = mail(given.clone());
        let error = templates.render_mail(&mail).expect_err("an error");
        assert_eq!(templates.measure_mail(&mail), Err(error), "{given}");
    }
}

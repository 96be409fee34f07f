//! Templates that are shipped with Postroom.

use std::path::PathBuf;

use postroom_mail::{Rendered, Templates};
use serde_json::{Value, json};

use crate::NAMES;

fn templates() -> Templates {
    Templates::load(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../templates")).expect("loaded")
}

/// Each template with its languages, required variables and optional variables.
fn shipped() -> [(&'static str, &'static [&'static str], Value, Value); 4] {
    [
        (
            "event_reminder",
            &["pl"],
            json!({"event": "Meetup", "starts_at": "Friday, 18:00"}),
            json!({"place": "Hall", "event_url": "https://e.example.org"}),
        ),
        (
            "newsletter",
            &[],
            json!({"title": "News", "intro": "Much happened."}),
            json!({
                "articles": [{"title": "One", "text": "First", "url": "https://one.example.org"}, {"title": "Two"}],
                "unsubscribe_url": "https://u.example.org",
            }),
        ),
        (
            "password_reset",
            &[],
            json!({"reset_url": "https://r.example.org/?a=1&b=2", "expires_in": "one hour"}),
            json!({}),
        ),
        (
            "user_activation",
            &["pl"],
            json!({"activation_url": "https://a.example.org/?a=1&b=2", "site_name": "Shop"}),
            json!({}),
        ),
    ]
}

fn render(
    templates: &Templates,
    template: &str,
    vars: &Value,
    more: &Value,
    name: &str,
    locale: Option<&str>,
) -> Rendered {
    let mut all = vars.as_object().expect("an object").clone();
    all.extend(more.as_object().expect("an object").clone());
    all.insert("name".into(), name.into());
    templates.render(template, &all, locale).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn shipped_templates_render_with_and_without_optional_variables() {
    let templates = templates();
    assert_eq!(templates.names(), shipped().map(|(name, ..)| name));
    for (template, locales, vars, more) in shipped() {
        let info = templates.describe(template).expect("a template");
        assert_eq!(
            (&info.locales[..], info.has_text, info.has_html),
            (&locales.iter().map(ToString::to_string).collect::<Vec<_>>()[..], true, true)
        );
        for locale in locales.iter().map(|locale| Some(*locale)).chain([None]) {
            let bare = render(&templates, template, &vars, &json!({}), "Ann", locale);
            let full = render(&templates, template, &vars, &more, "Ann", locale);
            assert_sound(template, &bare);
            assert_sound(template, &full);
            for word in words(&vars).into_iter().chain(words(&more)) {
                assert!(full.text.contains(&word), "{template}: {word} is missing in\n{}", full.text);
                let escaped = word.replace('&', "&amp;");
                assert!(
                    full.html.as_ref().is_some_and(|html| html.contains(&escaped)),
                    "{template}: {word} is missing"
                );
            }
        }
    }
}

#[test]
fn polish_files_are_in_polish() {
    let templates = templates();
    for (template, _, vars, more) in shipped().into_iter().filter(|(_, locales, ..)| !locales.is_empty()) {
        let english = render(&templates, template, &vars, &more, "Ann", None);
        let polish = render(&templates, template, &vars, &more, "Ann", Some("pl-PL"));
        assert_ne!(english.subject, polish.subject);
        assert!(polish.text.contains(['ś', 'ę', 'ł', 'ż', 'ć']), "{}", polish.text);
        assert!(polish.html.as_ref().is_some_and(|html| html.contains("lang=\"pl\"")));
    }
}

#[test]
fn names_are_escaped_in_shipped_templates() {
    let templates = templates();
    for (template, _, vars, more) in shipped() {
        for name in NAMES {
            let rendered = render(&templates, template, &vars, &more, name, None);
            assert!(rendered.text.contains(name), "{template}: {name}");
            assert!(!rendered.html.expect("HTML").contains("O'Brien & <b>"), "{template}");
        }
    }
}

/// Checks that the HTML is inlined and complete, and that the text is readable.
fn assert_sound(template: &str, rendered: &Rendered) {
    let html = rendered.html.as_deref().expect("HTML");
    assert!(
        html.contains("<h1 class=\"h1\" style=\"") && html.contains("<td class=\"content\" style=\""),
        "{template} is not inlined:\n{html}"
    );
    assert!(html.contains("prefers-color-scheme: dark") && html.contains("max-width: 600px"), "{template}");
    assert!(html.trim_end().ends_with("</html>") && html.starts_with("<!DOCTYPE html>"), "{template}:\n{html}");
    for odd in ["postroom-tag", "{{", "{%", "{#", "<tbody"] {
        assert!(!html.contains(odd) && !rendered.text.contains(odd), "{template}: {odd}\n{html}");
    }
    assert_eq!(html.matches("<table").count(), html.matches("</table").count(), "{template}");
    assert!(!rendered.text.contains("\n\n\n") && !rendered.text.contains("&amp;"), "{template}:\n{}", rendered.text);
    assert!(!rendered.subject.is_empty() && html.len() < 20_000, "{template}: {}", html.len());
}

fn words(value: &Value) -> Vec<String> {
    match value {
        Value::String(word) => vec![word.clone()],
        Value::Array(values) => values.iter().flat_map(words).collect(),
        Value::Object(fields) => fields.values().flat_map(words).collect(),
        _ => Vec::new(),
    }
}

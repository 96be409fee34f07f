//! Mails as somebody makes them who wants them to go wrong: what is taken at hand-over is what a worker sends.

mod agreement;
mod bulk;
mod maker;
mod read_back;

use maker::Maker;
use serde_json::Value;

use crate::Desk;

/// How many mails are tried; `HOSTILE_MAILS` says otherwise.
fn number(usual: usize) -> usize {
    let asked = std::env::var("HOSTILE_MAILS").ok();
    asked.map_or(usual, |number| number.parse().expect("HOSTILE_MAILS is a number"))
}

/// Templates that break in ways of their own.
fn write_templates(desk: &Desk) {
    for (name, file, text) in [
        ("greeting", "subject.txt", "{{ name }}, hello"),
        ("greeting", "body.txt", "Dear {{ name }},\n\n{{ text }}\n"),
        ("greeting", "body.html", "<p>Dear {{ name }}</p><p>{{ text }}</p>\n"),
        ("page", "subject.txt", "A page for {{ name }}"),
        ("page", "body.html", "<html><body><h1>{{ name }}</h1><p>{{ text }}</p></body></html>"),
        ("list", "subject.txt", "{% for item in items %}{{ item }} {% endfor %}"),
        ("list", "body.txt", "{% for item in items %}- {{ item }}\n{% endfor %}"),
        ("strict", "subject.txt", "{{ title }}"),
        ("strict", "body.txt", "{{ name.first }} {{ text | upper }}"),
    ] {
        desk.file(&format!("templates/{name}/{file}"), text);
    }
}

/// An object's field, where it has one.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

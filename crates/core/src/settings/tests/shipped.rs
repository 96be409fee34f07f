//! Tests that `.env.example` and `postroom.toml` match the settings, and that their examples are
//! valid.

use std::{collections::BTreeMap, fs};

use super::{from_toml, refusal, toml};
use crate::settings::{
    Settings, Sources,
    variables::{self, Value},
};

fn shipped(name: &str) -> String {
    fs::read_to_string(format!("{}/../../{name}", env!("CARGO_MANIFEST_DIR"))).expect(name)
}

/// Uncomments examples (`#key`) and keeps explanations (`# text`).
fn uncommented(text: &str) -> String {
    let line = |line: &str| {
        let example = line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| !c.is_whitespace()));
        format!("{}\n", example.unwrap_or(line))
    };
    text.lines().map(line).collect()
}

/// Returns the expected text of `.env.example`.
fn env_example() -> String {
    let mut text = "\
# All variables, each with its default or an example. Copy this file to .env, or set the variables
# in the environment. A flag overrides the environment, which overrides .env, which overrides
# postroom.toml. An empty variable counts as unset. Durations need a unit (500ms, 30s, 5m, 24h,
# 30d). Put single quotes around a value with spaces, # or $.
"
    .to_owned();
    for variable in variables::ALL {
        let file = variable.file_name().map(|name| format!(" ({name}: a file that contains it)")).unwrap_or_default();
        let (Value::Default(value) | Value::Example(value)) = variable.value;
        let quote = if value.contains(' ') { "'" } else { "" };
        let help = comment(&format!("{}{file}", variable.help));
        text += &format!("\n{help}#{}={quote}{value}{quote}\n", variable.name);
    }
    text
}

/// Wraps a text in comment lines of at most 100 columns.
fn comment(text: &str) -> String {
    let mut lines = vec!["#".to_owned()];
    for word in text.split(' ') {
        if lines.last().is_some_and(|line| line.len() + 1 + word.len() > 100) {
            lines.push("#".to_owned());
        }
        lines.last_mut().into_iter().for_each(|line| *line += &format!(" {word}"));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn env_example_is_the_table_of_variables() {
    let (shipped, table) = (shipped(".env.example"), env_example());
    assert!(shipped == table, ".env.example must contain:\n{table}");
}

#[test]
fn the_examples_of_env_example_are_valid() {
    let text = uncommented(&shipped(".env.example"));
    let sources = Sources { dotenv: Some(text.clone()), ..Sources::default() };
    let settings = Settings::from_sources(&sources).expect("settings");
    assert_eq!(settings.transports.keys().collect::<Vec<_>>(), ["default"]);
    assert_eq!(dotenvy::from_read_iter(text.as_bytes()).count(), variables::ALL.len());
}

#[test]
fn explicit_defaults_change_nothing() {
    let defaults: BTreeMap<String, String> = variables::ALL
        .iter()
        .filter_map(|variable| variable.default().map(|value| (variable.name.to_owned(), value.to_owned())))
        .collect();
    let written = Settings::from_sources(&Sources { env: defaults, ..Sources::default() }).expect("settings");
    let unset = Settings::from_sources(&Sources::default()).expect("settings");
    assert_eq!(format!("{written:?}"), format!("{unset:?}"));
}

#[test]
fn every_variable_may_be_set_in_the_toml() {
    for variable in variables::ALL {
        let (Value::Default(value) | Value::Example(value)) = variable.value;
        let Some(key) = variable.key() else { continue };
        let found =
            super::super::layers::Layers::new(&toml(&format!("{key} = {value:?}"))).expect("layers").find(variable);
        assert_eq!(found.expect("a value").map(|found| found.text).as_deref(), Some(value), "{key}");
    }
}

#[test]
fn the_shipped_toml_sets_nothing() {
    let shipped = from_toml(&shipped("postroom.toml")).expect("settings");
    let none = Settings::from_sources(&Sources::default()).expect("settings");
    assert_eq!(format!("{shipped:?}"), format!("{none:?}"));
}

#[test]
fn the_examples_of_the_toml_are_valid() {
    let settings = from_toml(&uncommented(&shipped("postroom.toml"))).expect("settings");
    assert_eq!((settings.schedules.len(), settings.transports.len(), settings.templates.len()), (2, 6, 1));
}

#[test]
fn the_toml_shows_every_key_of_every_table() {
    let text = shipped("postroom.toml");
    for table in [
        "[queue.x]\n",
        "[transport.x]\nkind = 'smtp'\n",
        "[transport.x]\nkind = 'smtp'\n[transport.x.timeouts]\n",
        "[template.x]\n",
        "[domain.x]\n",
        "[[schedule]]\n",
    ] {
        let message = refusal(from_toml(&format!("{table}unheard_of = 1")));
        let (_, keys) = message.split_once("it may be ").expect(&message);
        for key in keys.split(", ") {
            let shown = text.contains(&format!("\n#{key} = ")) || text.contains(&format!(" {key} = "));
            assert!(shown || text.contains(&format!(".{key}]")), "{key} of {table}");
        }
    }
}

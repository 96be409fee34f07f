//! Tests of the settings, by source and by table.

mod outcome;
mod precedence;
mod process;
mod refused;
mod shipped;
mod toml_tables;
mod warned;

use super::{Settings, Sources};
use crate::InvalidInput;

/// Builds settings from environment variables only.
fn from_env(pairs: &[(&str, &str)]) -> Result<Settings, InvalidInput> {
    Settings::from_sources(&Sources { env: env(pairs), ..Sources::default() })
}

/// Builds settings from a toml file only.
fn from_toml(text: &str) -> Result<Settings, InvalidInput> {
    Settings::from_sources(&toml(text))
}

fn toml(text: &str) -> Sources {
    Sources { file: Some(("postroom.toml".to_owned(), text.to_owned())), ..Sources::default() }
}

fn env(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Returns the message of an expected error.
fn refusal(settings: Result<Settings, InvalidInput>) -> String {
    settings.expect_err("a refusal").to_string()
}

/// Checks that the message contains all words.
fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in: {message}");
    }
}

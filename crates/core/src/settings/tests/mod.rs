//! What the settings promise, source by source.

mod outcome;
mod precedence;
mod process;
mod refused;
mod shipped;
mod toml_tables;
mod warned;

use super::{Settings, Sources};
use crate::InvalidInput;

/// Settings from variables of the environment alone.
fn from_env(pairs: &[(&str, &str)]) -> Result<Settings, InvalidInput> {
    Settings::from_sources(&Sources { env: env(pairs), ..Sources::default() })
}

/// Settings from a toml file alone.
fn from_toml(text: &str) -> Result<Settings, InvalidInput> {
    Settings::from_sources(&toml(text))
}

fn toml(text: &str) -> Sources {
    Sources { file: Some(("postroom.toml".to_owned(), text.to_owned())), ..Sources::default() }
}

fn env(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The message of what has to be refused.
fn refusal(settings: Result<Settings, InvalidInput>) -> String {
    settings.expect_err("a refusal").to_string()
}

/// The message holds all of these words.
fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in: {message}");
    }
}

//! Variables and keys of the settings file that the documents name.

use std::collections::BTreeSet;

use super::documents;
use crate::fixture::read;

/// Variables that scripts and tests read; no settings.
const OF_SCRIPTS: [&str; 4] =
    ["POSTROOM_FUZZ_CASE", "POSTROOM_FUZZ_SECONDS", "POSTROOM_FUZZ_SEED", "POSTROOM_TEST_BINS"];

/// The reference of the settings names every variable, and no other.
#[test]
fn the_reference_names_every_variable() {
    let page = read("docs/configuration.md");
    let section = page.split("\n## Variables").nth(1).expect("the section").split("\n## ").next().expect("its text");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), variables());
}

/// A name in capitals with an underscore, between backticks or set in a shell block, is a variable.
#[test]
fn every_variable_in_a_document_exists() {
    let known = variables();
    for document in documents() {
        let in_blocks = document.blocks("sh");
        let set = in_blocks.split_whitespace().filter_map(|word| Some(word.split_once('=')?.0.to_owned()));
        let named =
            document.inline_code().into_iter().map(|code| code.split('=').next().unwrap_or_default().to_owned());
        for name in set.chain(named).filter(|name| looks_like_variable(name)) {
            let is_secret_file = name.strip_suffix("_FILE").is_some_and(|secret| known.contains(secret));
            let is_known = known.contains(&name) || is_secret_file || OF_SCRIPTS.contains(&name.as_str());
            assert!(is_known, "{}: there is no variable {name}", document.name);
        }
    }
}

/// Each key of a toml block is a key that `postroom.toml` shows.
#[test]
fn every_key_of_the_settings_file_exists() {
    let shipped = read("postroom.toml");
    let mut checked = 0;
    for document in documents() {
        let block = document.blocks("toml");
        let keys = block.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key);
        for key in keys.filter(|key| !key.starts_with('#')) {
            let is_shown = ["#", " "].iter().any(|before| shipped.contains(&format!("{before}{key} = ")));
            assert!(is_shown, "{}: postroom.toml shows no key {key}", document.name);
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} keys were found");
}

fn variables() -> BTreeSet<String> {
    let example = read(".env.example");
    let names = example.lines().filter_map(|line| line.strip_prefix('#')?.split_once('=')).map(|(name, _)| name);
    names.filter(|name| name.chars().all(is_capital)).map(str::to_owned).collect()
}

fn looks_like_variable(name: &str) -> bool {
    let has_two_words = name.split('_').filter(|word| !word.is_empty()).count() > 1;
    has_two_words && name.chars().all(is_capital)
}

fn is_capital(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'
}

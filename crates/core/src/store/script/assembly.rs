//! Assembles the scripts from their parts at the start of the process.

use std::{collections::HashSet, sync::LazyLock};

use super::sources::{PARTS, Script};

static COMPILED: LazyLock<Vec<redis::Script>> =
    LazyLock::new(|| Script::ALL.iter().map(|script| redis::Script::new(&assemble(*script))).collect());

/// Returns a script with its hash.
pub(super) fn compiled(script: Script) -> &'static redis::Script {
    // `ALL` has the order of the enum.
    &COMPILED[script as usize]
}

/// Assembles a script: the parts named in its header without their unused items, then its own
/// source.
///
/// Redis runs a script from its first line each time, so unused items would cost time.
///
/// All but the prelude is wrapped in a function. Lua resolves a variable of the same function by a
/// search through all active ones, each time a closure captures it. An upvalue needs no search.
pub(super) fn assemble(script: Script) -> String {
    let (source, allocates) = (script.source(), script.allocates());
    let body = without_comments(source);
    let (mut all, prelude) = (Vec::new(), items(part("prelude")).len());
    all.extend(included_parts(source).flat_map(|name| items(part(name))));
    let mut used = used_items(&all, &body).into_iter();
    let mut text_of = |items: &[Item]| {
        let texts = items.iter().zip(&mut used).filter(|(_, used)| *used).map(|(item, _)| item.text.as_str());
        texts.collect::<String>()
    };
    let (outside, inside) = all.split_at(prelude.min(all.len()));
    let (outside, inside) = (text_of(outside), text_of(inside));
    format!("local allocates = {allocates}\n{outside}return (function()\n{inside}{body}end)()\n")
}

/// Returns the source of a part. A test checks that all included parts exist.
fn part(name: &str) -> &'static str {
    PARTS.iter().find(|(known, _)| *known == name).map_or("", |(_, source)| source)
}

/// A top-level statement of a part with its indented lines.
struct Item {
    /// Names that it declares; empty if it must always run.
    names: Vec<String>,
    text: String,
}

fn items(part: &str) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for line in without_comments(part).lines() {
        let is_first = line.starts_with(|c: char| c.is_ascii_alphabetic()) && !line.starts_with("end");
        match items.last_mut() {
            Some(item) if !is_first => item.text.push_str(line),
            _ => items.push(Item { names: declared_names(line), text: line.to_owned() }),
        }
        if let Some(item) = items.last_mut() {
            item.text.push('\n');
        }
    }
    items
}

/// Returns the names declared by a `local` line.
fn declared_names(line: &str) -> Vec<String> {
    let Some(rest) = line.strip_prefix("local ") else { return Vec::new() };
    match rest.strip_prefix("function ") {
        Some(function) => words(function).take(1).map(str::to_owned).collect(),
        None => words(rest.split('=').next().unwrap_or_default()).map(str::to_owned).collect(),
    }
}

/// Returns for each item whether the body uses it, directly or through other items.
fn used_items(items: &[Item], body: &str) -> Vec<bool> {
    let mut used: Vec<bool> = items.iter().map(|item| item.names.is_empty()).collect();
    let mut known: HashSet<&str> = words(body).collect();
    items.iter().filter(|item| item.names.is_empty()).for_each(|item| known.extend(words(&item.text)));
    // An item uses only earlier items.
    for (item, used) in items.iter().zip(&mut used).rev() {
        if item.names.iter().any(|name| known.contains(name.as_str())) {
            *used = true;
            known.extend(words(&item.text));
        }
    }
    used
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn without_comments(source: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("--") && !line.is_empty();
    source.lines().filter(is_code).flat_map(|line| [line, "\n"]).collect()
}

fn included_parts(source: &str) -> impl Iterator<Item = &str> {
    source.lines().find_map(|line| line.strip_prefix("-- Includes: ")).unwrap_or("").split_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_has_a_complete_header_and_no_unbounded_command() {
        for script in Script::ALL {
            let (name, source) = (script.name(), script.source());
            for fact in ["-- ARGV:", "-- Replies:", "-- States:"] {
                assert!(source.contains(fact), "{name} lacks {fact}");
            }
            for part in included_parts(source) {
                assert!(PARTS.iter().any(|(known, _)| *known == part), "{name} includes the unknown part {part}");
            }
            let assembled = assemble(*script);
            for forbidden in ["'KEYS'", "'SMEMBERS'", "'FLUSH", "redis.replicate", "math.random"] {
                assert!(!assembled.contains(forbidden), "{name} uses {forbidden}");
            }
        }
    }

    #[test]
    fn a_script_includes_only_the_items_that_it_uses() {
        let part = concat!(
            "local a = 1\n-- c\nlocal function b()\n  return a\nend\n",
            "local function c() end\nlocal d, e\nredis.call(e)\n"
        );
        let items = items(part);
        let names: Vec<_> = items.iter().map(|item| item.names.join(" ")).collect();
        assert_eq!(names, ["a", "b", "c", "d e", ""]);
        assert_eq!(items[1].text, "local function b()\n  return a\nend\n");
        assert_eq!(used_items(&items, "return b()"), [true, true, false, true, true]);
        assert_eq!(used_items(&items, "return c"), [false, false, true, true, true]);
    }

    #[test]
    fn every_lua_file_is_a_script_or_a_part() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lua");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder of scripts")
            .filter_map(|entry| entry.expect("an entry").file_name().to_str()?.strip_suffix(".lua").map(str::to_owned))
            .collect();
        let mut known: Vec<String> = Script::ALL.iter().map(|script| script.name().to_owned()).collect();
        files.sort();
        known.sort();
        assert_eq!(files, known);
    }

    #[test]
    fn every_script_is_documented_in_the_protocol() {
        let protocol = include_str!("../../../README.md");
        for name in Script::ALL.iter().map(|script| script.name()) {
            assert!(protocol.contains(&format!("`{name}`")), "crates/core/README.md does not name {name}");
        }
    }

    #[test]
    fn headers_name_real_states() {
        let words = crate::JobState::ALL.map(crate::JobState::as_str);
        for script in Script::ALL {
            let (name, source) = (script.name(), script.source());
            let line = source.lines().find_map(|line| line.strip_prefix("-- States:")).unwrap_or_default();
            let arrow = line.contains("->");
            assert!(!arrow || words.iter().any(|word| line.contains(word)), "{name}: {line}");
        }
    }
}

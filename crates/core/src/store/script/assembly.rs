//! Assembles the scripts from their parts at the start of the process.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
    sync::LazyLock,
};

use super::sources::{PARTS, Script};

static COMPILED: LazyLock<Vec<redis::Script>> =
    LazyLock::new(|| Script::ALL.iter().map(|script| redis::Script::new(&assemble(*script))).collect());

/// Returns a script with its hash.
pub(super) fn compiled(script: Script) -> &'static redis::Script {
    // `ALL` has the order of the enum.
    &COMPILED[script as usize]
}

/// Tables of functions that a script creates at their first use. Redis runs a script from its first
/// line each time, and creating a function costs as much as a short command. A call written
/// `general.load(id)` makes `load`, and all that only `load` needs, part of the group `general`.
const GROUPS: [&str; 3] = ["general", "rare", "damage"];

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
    let needs = Needs::of(&all, &body);
    let at_start = |range: Range<usize>| -> String {
        range.filter(|at| needs.levels[*at] == Some(0)).map(|at| all[at].text.as_str()).collect()
    };
    let prelude = prelude.min(all.len());
    let (outside, inside, groups) = (at_start(0..prelude), at_start(prelude..all.len()), needs.groups(&all));
    let declared = if groups.is_empty() { String::new() } else { format!("local {}\n", GROUPS.join(", ")) };
    format!("local allocates = {allocates}\n{declared}{outside}return (function()\n{inside}{groups}{body}end)()\n")
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

/// Where a script needs each item, and through which group it calls it.
struct Needs<'a> {
    /// For each item: 0 at the start of the script, 1 and up in that group, `None` if unused.
    levels: Vec<Option<usize>>,
    /// Names called through a group.
    called: BTreeSet<(usize, &'a str)>,
    level_of: HashMap<&'a str, usize>,
}

impl<'a> Needs<'a> {
    fn of(items: &'a [Item], body: &'a str) -> Self {
        let mut needs = Self { levels: vec![None; items.len()], called: BTreeSet::new(), level_of: HashMap::new() };
        needs.add(body, 0);
        items.iter().filter(|item| item.names.is_empty()).for_each(|item| needs.add(&item.text, 0));
        // An item uses only items before it.
        for (at, item) in items.iter().enumerate().rev() {
            let level = match item.names.is_empty() {
                true => Some(0),
                false => item.names.iter().filter_map(|name| needs.level_of.get(name.as_str()).copied()).min(),
            };
            needs.levels[at] = level;
            if let Some(level) = level {
                needs.level_of.extend(item.names.iter().map(|name| (name.as_str(), level)));
                needs.add(&item.text, level);
            }
        }
        needs
    }

    fn add(&mut self, text: &'a str, level: usize) {
        for (group, word) in references(text) {
            let needed_at = group.map_or(level, |group| group + 1);
            if let Some(group) = group {
                self.called.insert((group, word));
            }
            let known = self.level_of.entry(word).or_insert(needed_at);
            *known = needed_at.min(*known);
        }
    }

    /// Returns the text that creates the groups, those which the script uses. Each is created
    /// inside the one before, so that its functions can use that one's; using it creates that one
    /// too.
    fn groups(&self, items: &[Item]) -> String {
        (0..GROUPS.len()).rev().fold(String::new(), |inner, group| self.group(items, group, &inner))
    }

    fn group(&self, items: &[Item], group: usize, inner: &str) -> String {
        let own = items.iter().zip(&self.levels).filter(|(_, level)| **level == Some(group + 1)).map(|(item, _)| item);
        let own: String = own.map(|item| item.text.as_str()).collect();
        let called: Vec<&str> = self.called.iter().filter(|(of, _)| *of == group).map(|(_, name)| *name).collect();
        if own.is_empty() && called.is_empty() {
            return inner.to_owned();
        }
        let name = GROUPS[group];
        let mut text = format!("{name} = setmetatable({{}}, {{ __index = function({name}, called)\n{own}");
        called.iter().for_each(|function| text += &format!("{name}.{function} = {function}\n"));
        text += inner;
        text += &format!("return rawget({name}, called)\nend }})\n");
        // Until this group is created, a call of one inside it creates it.
        for next in &GROUPS[group + 1..] {
            let start = format!("{next} = setmetatable(");
            if inner.lines().any(|line| line.starts_with(&start)) {
                text += &format!("{start}{{}}, {{ __index = function(_, called)\n");
                text += &format!("local _ = {name}.created\nreturn {next}[called]\nend }})\n");
            }
        }
        text
    }
}

/// Returns the words of a text, each with the group that it is called through.
fn references(text: &str) -> impl Iterator<Item = (Option<usize>, &str)> {
    let mut qualifier = None;
    words(text).map(move |word| {
        let end = word.as_ptr() as usize + word.len() - text.as_ptr() as usize;
        let group = qualifier.take();
        qualifier = GROUPS.iter().position(|group| *group == word && text[end..].starts_with('.'));
        (group, word)
    })
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

    fn levels(part: &str, body: &str) -> Vec<Option<usize>> {
        Needs::of(&items(part), body).levels
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
        let (used, unused) = (Some(0), None);
        assert_eq!(levels(part, "return b()"), [used, used, unused, used, used]);
        assert_eq!(levels(part, "return c"), [unused, unused, used, used, used]);
    }

    #[test]
    fn a_group_contains_what_only_its_functions_use() {
        let part = concat!(
            "local A = 1\nlocal function b() return A end\n",
            "local function c() return b() end\nlocal function d() return A end\n"
        );
        let (start, general, damage) = (Some(0), Some(1), Some(3));
        assert_eq!(levels(part, "general.c()"), [general, general, general, None]);
        assert_eq!(levels(part, "general.c() d()"), [start, general, general, start]);
        assert_eq!(levels(part, "general.b() damage.c()"), [general, general, damage, None]);
        let items = items(part);
        let text = Needs::of(&items, "general.b() damage.c() d()").groups(&items);
        let expected = [
            "general = setmetatable({}, { __index = function(general, called)",
            "local function b() return A end",
            "general.b = b",
            "damage = setmetatable({}, { __index = function(damage, called)",
            "local function c() return b() end",
            "damage.c = c",
            "return rawget(damage, called)",
            "end })",
            "return rawget(general, called)",
            "end })",
            "damage = setmetatable({}, { __index = function(_, called)",
            "local _ = general.created",
            "return damage[called]",
            "end })",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
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

//! The `Keys:` line of each script's header names exactly the keys that the script may touch.
//!
//! Keys are compared by their form: `line:<name>:<priority>` and `key('line:' .. name .. ':' .. p)`
//! are both `line:<>:<>`.

use std::collections::{BTreeSet, HashMap};

/// Key expressions without a literal: the function or script, how the expression begins, and the
/// keys it may name.
const DYNAMIC: [(&str, &str, &[&str]); 16] = [
    ("wait_until", "state ..", &["scheduled:<>", "deferred:<>"]),
    ("unindex", "job.state ..", &["scheduled:<>", "deferred:<>"]),
    ("unindex", "job.state)", &["failed", "cancelled", "unknown"]),
    ("to_finished", "state)", &["failed", "cancelled"]),
    ("promote_waiting", "state ..", &["scheduled:<>", "deferred:<>"]),
    ("earliest_due_ms", "state ..", &["scheduled:<>", "deferred:<>"]),
    ("state_by_index", "index)", &["leases", "scheduled:<>", "deferred:<>", "unknown", "failed", "cancelled"]),
    ("set_aside", "index)", &["leases", "unknown", "expiring"]),
    ("set_aside", "state)", &["failed", "cancelled"]),
    ("wake", "priority and", &["wake", "wake:urgent"]),
    ("claim", "index)", &["leases", "unknown", "scheduled:<>", "deferred:<>"]),
    ("prune", "state)", &["failed", "cancelled"]),
    ("retry", "job.state)", &["failed", "cancelled"]),
    ("sweep", "index)", &["leases", "expiring"]),
    ("sweep", "name)", &["newer", "damaged"]),
    ("mend", "ARGV[at])", &[]),
];

/// Functions that take keys of any name, most of them for repairs; the protocol describes these
/// once for all scripts.
const ANY_KEY: [&str; 11] = [
    "key",
    "redis",
    "repair",
    "note_damage",
    "move_aside",
    "recount",
    "count_from_indexes",
    "lists_length",
    "zset_size",
    "derive_batch_counter",
    "apply_delta",
];

/// Groups of keys that a header names by a word: the word, the functions that touch them, and the
/// part that lists them.
const GROUPS: [(&str, &[&str], &str); 2] = [
    ("counters", &["flush_writes", "move", "minute_key", "queue_counters", "count"], "prelude"),
    ("damage", &["set_aside"], "job"),
];

/// A definition at the left margin of a part, with the lines below it that belong to it.
struct LuaItem {
    names: Vec<String>,
    text: String,
}

fn without_comments(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.trim_start().starts_with("--"))
}

fn items(part: &str) -> Vec<LuaItem> {
    let mut items: Vec<LuaItem> = Vec::new();
    for line in without_comments(part) {
        let is_first = line.starts_with(|c: char| c.is_ascii_alphabetic()) && !line.starts_with("end");
        match items.last_mut() {
            Some(item) if !is_first => item.text.extend(["\n", line]),
            _ => items.push(LuaItem { names: declared(line), text: line.to_owned() }),
        }
    }
    items
}

/// Returns the names that a line declares.
fn declared(line: &str) -> Vec<String> {
    let Some(rest) = line.strip_prefix("local ") else { return Vec::new() };
    match rest.strip_prefix("function ") {
        Some(function) => words(function).into_iter().take(1).collect(),
        None => words(rest.split('=').next().unwrap_or_default()),
    }
}

/// Returns the identifiers outside of string literals.
fn words(text: &str) -> Vec<String> {
    let outside: String = text.split('\'').step_by(2).collect::<Vec<_>>().join(" ");
    let words = outside.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// Returns the forms of the keys in a text. `place` is the function or script that the text belongs
/// to.
fn keys_in(text: &str, place: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for line in text.lines() {
        for (at, opening) in ["key(", "base .. ':"].iter().flat_map(|opening| line.match_indices(opening)) {
            let is_call = !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            let rest = &line[at + opening.len()..];
            match (opening, rest.starts_with('\'')) {
                _ if !is_call => {}
                ("key(", false) => keys.extend(dynamic(place, rest)),
                ("key(", true) => keys.extend([form(rest)]),
                _ => keys.extend([form(&format!("'{rest}"))]),
            }
        }
    }
    keys.remove("none");
    keys
}

fn dynamic(place: &str, expression: &str) -> impl Iterator<Item = String> {
    let known = DYNAMIC.iter().find(|(at, start, _)| *at == place && expression.starts_with(start));
    let (_, _, keys) = known.unwrap_or_else(|| panic!("{place}: which keys does key({expression} name?"));
    keys.iter().map(|key| (*key).to_owned())
}

/// Returns the form of a key from its expression, such as `'line:' .. name .. ':' .. priority)`.
fn form(expression: &str) -> String {
    let (mut form, mut rest) = (String::new(), expression);
    while let Some(literal) = rest.strip_prefix('\'') {
        let (text, after) = literal.split_once('\'').expect("the end of a literal");
        form.push_str(text);
        let Some(value) = after.strip_prefix(" .. ") else { break };
        form.push_str("<>");
        let mut depth = 0;
        let end = value.char_indices().find(|(at, c)| {
            depth += i32::from(*c == '(') - i32::from(*c == ')');
            depth < 0 || (depth == 0 && value[*at..].starts_with(" .. '"))
        });
        rest = end.map_or("", |(at, _)| &value[at..]).strip_prefix(" .. ").unwrap_or_default();
    }
    form
}

/// Returns the keys that code touches, with the functions that it reaches, and the groups among
/// them. Groups in `within` count as keys.
fn touched(parts: &[LuaItem], code: &str, place: &str, within: &[&str]) -> (BTreeSet<String>, BTreeSet<&'static str>) {
    let by_name: HashMap<&str, &LuaItem> =
        parts.iter().flat_map(|item| item.names.iter().map(move |name| (name.as_str(), item))).collect();
    let (mut keys, mut groups, mut seen) = (keys_in(code, place), BTreeSet::new(), BTreeSet::new());
    let mut waiting = words(code);
    while let Some(word) = waiting.pop() {
        if !seen.insert(word.clone()) || ANY_KEY.contains(&word.as_str()) {
            continue;
        }
        let group = GROUPS.iter().find(|(_, functions, _)| functions.contains(&word.as_str())).map(|group| group.0);
        if let Some(group) = group.filter(|group| !within.contains(group)) {
            groups.insert(group);
        } else if let Some(item) = by_name.get(word.as_str()) {
            keys.extend(keys_in(&item.text, &word));
            waiting.extend(words(&item.text));
        }
    }
    (keys, groups)
}

/// Returns the keys and groups of a `Keys…:` line with its continuation lines.
fn named(text: &str, start: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (_, rest) = text.split_once(&format!("-- {start}:")).unwrap_or_else(|| panic!("no line `{start}:`"));
    let mut lines = rest.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    let list = lines.map_while(|line| line.strip_prefix("--          ")).fold(first, |list, line| list + " " + line);
    let keys = list.split('`').skip(1).step_by(2).map(|key| {
        let mut parts = key.split('<');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |form, part| form + "<>" + part.split_once('>').expect("a placeholder").1)
    });
    let words: Vec<&str> = list.split('`').step_by(2).flat_map(|text| text.split([',', ' '])).collect();
    let groups = GROUPS.iter().map(|group| group.0).filter(|group| words.contains(group)).map(str::to_owned);
    (keys.collect(), groups.collect())
}

#[test]
fn headers_name_the_keys_that_scripts_touch() {
    for script in super::scripts() {
        let source = super::source(&script);
        let parts: Vec<LuaItem> = super::parts(&source).iter().flat_map(|part| items(part)).collect();
        let body: String = without_comments(&source).flat_map(|line| [line, "\n"]).collect();
        let (keys, groups) = touched(&parts, &body, &script, &[]);
        let groups = groups.into_iter().map(str::to_owned).collect();
        assert_eq!(named(&source, "Keys"), (keys, groups), "{script}.lua: named in its header, touched by its text");
    }
}

#[test]
fn parts_name_the_keys_of_a_group() {
    for (group, functions, part) in GROUPS {
        let texts = super::parts(&format!("-- Includes: prelude {part}\n"));
        let parts: Vec<LuaItem> = texts.iter().flat_map(|part| items(part)).collect();
        let (keys, others) = touched(&parts, &functions.join(" "), group, &[group]);
        let others = others.into_iter().map(str::to_owned).collect();
        assert_eq!(named(&texts.concat(), &format!("Keys of {group}")), (keys, others), "keys of {group}");
    }
}

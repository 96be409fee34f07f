//! Lua scripts, one per transition, assembled from their parts at the start of the process.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

const PARTS: [(&str, &str); 6] = [
    ("prelude", include_str!("../lua/parts/prelude.lua")),
    (
        "job",
        concat!(
            include_str!("../lua/parts/header.lua"),
            include_str!("../lua/parts/flight.lua"),
            include_str!("../lua/parts/kept.lua"),
            include_str!("../lua/parts/contents.lua"),
            include_str!("../lua/parts/job.lua"),
            include_str!("../lua/parts/aside.lua")
        ),
    ),
    ("time", include_str!("../lua/parts/time.lua")),
    ("promote", include_str!("../lua/parts/promote.lua")),
    ("limited", include_str!("../lua/parts/limited.lua")),
    ("limit", include_str!("../lua/parts/limit.lua")),
];

/// Name and source of each script.
const SOURCES: [(&str, &str); 39] = [
    ("batch_cancel", include_str!("../lua/batch_cancel.lua")),
    ("batch_create", include_str!("../lua/batch_create.lua")),
    ("batch_notify", include_str!("../lua/batch_notify.lua")),
    ("batch_seal", include_str!("../lua/batch_seal.lua")),
    ("batch_steer", include_str!("../lua/batch_steer.lua")),
    ("begin", include_str!("../lua/begin.lua")),
    ("cancel", include_str!("../lua/cancel.lua")),
    ("capture", include_str!("../lua/capture.lua")),
    ("claim", include_str!("../lua/claim.lua")),
    ("connections_hold", include_str!("../lua/connections_hold.lua")),
    ("content_keep", include_str!("../lua/content_keep.lua")),
    ("defer", include_str!("../lua/defer.lua")),
    ("enqueue", include_str!("../lua/enqueue.lua")),
    ("finish", include_str!("../lua/finish.lua")),
    ("jobs", include_str!("../lua/jobs.lua")),
    ("limit_give_back", include_str!("../lua/limit_give_back.lua")),
    ("limit_heard", include_str!("../lua/limit_heard.lua")),
    ("limit_states", include_str!("../lua/limit_states.lua")),
    ("limit_take", include_str!("../lua/limit_take.lua")),
    ("mend", include_str!("../lua/mend.lua")),
    ("pause", include_str!("../lua/pause.lua")),
    ("peek", include_str!("../lua/peek.lua")),
    ("prune", include_str!("../lua/prune.lua")),
    ("renew", include_str!("../lua/renew.lua")),
    ("reserve", include_str!("../lua/reserve.lua")),
    ("resolve", include_str!("../lua/resolve.lua")),
    ("restate", include_str!("../lua/restate.lua")),
    ("retry", include_str!("../lua/retry.lua")),
    ("schedule_due", include_str!("../lua/schedule_due.lua")),
    ("schedule_list", include_str!("../lua/schedule_list.lua")),
    ("schedule_put", include_str!("../lua/schedule_put.lua")),
    ("schedule_remove", include_str!("../lua/schedule_remove.lua")),
    ("schedule_tick", include_str!("../lua/schedule_tick.lua")),
    ("say_alive", include_str!("../lua/say_alive.lua")),
    ("sweep", include_str!("../lua/sweep.lua")),
    ("batches", include_str!("../lua/batches.lua")),
    ("webhook_add", include_str!("../lua/webhook_add.lua")),
    ("webhook_defer", include_str!("../lua/webhook_defer.lua")),
    ("webhook_take", include_str!("../lua/webhook_take.lua")),
];

/// Scripts that allocate memory. Redis must be able to refuse them when it is full.
const ALLOCATING: [&str; 6] = ["enqueue", "capture", "content_keep", "batch_create", "schedule_put", "schedule_tick"];

static SCRIPTS: LazyLock<HashMap<&'static str, redis::Script>> = LazyLock::new(|| {
    SOURCES.iter().map(|(name, source)| (*name, redis::Script::new(&assemble(name, source)))).collect()
});

/// Returns the script of this name.
pub(super) fn script(name: &'static str) -> &'static redis::Script {
    SCRIPTS.get(name).unwrap_or_else(|| unreachable!("there is no script {name}"))
}

/// Returns the source of a script as sent to Redis.
#[cfg(test)]
pub(super) fn assembled(name: &str) -> String {
    let (_, source) = SOURCES.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no script {name}"));
    assemble(name, source)
}

/// Assembles a script: the parts named in its header without their unused items, then its own
/// source.
///
/// Redis runs a script from its first line each time, so unused items would cost time.
///
/// All but the prelude is wrapped in a function. Lua resolves a variable of the same function by a
/// search through all active ones, each time a closure captures it. An upvalue needs no search.
fn assemble(name: &str, source: &str) -> String {
    let part = |part: &str| {
        let (_, text) =
            PARTS.iter().find(|(known, _)| *known == part).unwrap_or_else(|| unreachable!("{name} includes {part}"));
        items(text)
    };
    let body = without_comments(source);
    let (mut items, prelude) = (Vec::new(), part("prelude").len());
    items.extend(included(source).flat_map(part));
    let mut used = used(&items, &body).into_iter();
    let mut text_of = |items: &[Item]| {
        let texts = items.iter().zip(&mut used).filter(|(_, used)| *used).map(|(item, _)| item.text.as_str());
        texts.collect::<String>()
    };
    let (outside, inside) = items.split_at(prelude.min(items.len()));
    let allocates = ALLOCATING.contains(&name);
    let (outside, inside) = (text_of(outside), text_of(inside));
    format!("local allocates = {allocates}\n{outside}return (function()\n{inside}{body}end)()\n")
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
            _ => items.push(Item { names: declared(line), text: line.to_owned() }),
        }
        if let Some(item) = items.last_mut() {
            item.text.push('\n');
        }
    }
    items
}

/// Returns the names declared by a `local` line.
fn declared(line: &str) -> Vec<String> {
    let Some(rest) = line.strip_prefix("local ") else { return Vec::new() };
    match rest.strip_prefix("function ") {
        Some(function) => words(function).take(1).map(str::to_owned).collect(),
        None => words(rest.split('=').next().unwrap_or_default()).map(str::to_owned).collect(),
    }
}

/// Returns for each item whether the body uses it, directly or through other items.
fn used(items: &[Item], body: &str) -> Vec<bool> {
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

fn included(source: &str) -> impl Iterator<Item = &str> {
    source.lines().find_map(|line| line.strip_prefix("-- Includes: ")).unwrap_or("").split_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_has_a_complete_header_and_no_unbounded_command() {
        for (name, source) in SOURCES {
            for fact in ["-- ARGV:", "-- Replies:", "-- States:"] {
                assert!(source.contains(fact), "{name} lacks {fact}");
            }
            let whole = assemble(name, source);
            for forbidden in ["'KEYS'", "'SMEMBERS'", "'FLUSH", "redis.replicate", "math.random"] {
                assert!(!whole.contains(forbidden), "{name} uses {forbidden}");
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
        assert_eq!(used(&items, "return b()"), [true, true, false, true, true]);
        assert_eq!(used(&items, "return c"), [false, false, true, true, true]);
    }

    #[test]
    fn every_lua_file_is_a_script_or_a_part() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lua");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder of scripts")
            .filter_map(|entry| entry.expect("an entry").file_name().to_str()?.strip_suffix(".lua").map(str::to_owned))
            .collect();
        let mut known: Vec<String> = SOURCES.iter().map(|(name, _)| (*name).to_owned()).collect();
        files.sort();
        known.sort();
        assert_eq!(files, known);
    }

    #[test]
    fn every_script_is_documented_in_the_protocol() {
        let protocol = include_str!("../../README.md");
        for (name, _) in SOURCES {
            assert!(protocol.contains(&format!("`{name}`")), "crates/core/README.md does not name {name}");
        }
    }

    #[test]
    fn headers_name_real_states() {
        let words = crate::JobState::ALL.map(crate::JobState::as_str);
        for (name, source) in SOURCES {
            let line = source.lines().find_map(|line| line.strip_prefix("-- States:")).unwrap_or_default();
            let arrow = line.contains("->");
            assert!(!arrow || words.iter().any(|word| line.contains(word)), "{name}: {line}");
        }
    }
}

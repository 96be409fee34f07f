//! Errors about `postroom.toml`: where they are, and what is wrong in plain words.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::layer::line_of;
use crate::{InvalidInput, nearest::nearest};

/// Name and text of the file.
pub(super) struct TomlFile<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

/// The parser's names of the kinds of values, and ours.
const KINDS: [(&str, &str); 12] = [
    ("a string", "a text in quotes"),
    ("path string", "a text in quotes"),
    ("string", "a text in quotes"),
    ("a boolean", "true or false"),
    ("bool", "true or false"),
    ("a sequence", "a list in brackets"),
    ("a map", "a table"),
    ("u8", "a whole number from 0 to 255"),
    ("u16", "a whole number from 0 to 65535"),
    ("u32", "a whole number from 0 to 4294967295"),
    ("u64", "a whole number"),
    ("usize", "a whole number"),
];

impl<'a> TomlFile<'a> {
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'a>>, InvalidInput> {
        DeTable::parse(self.text).map_err(|error| self.refuse_syntax(&error))
    }

    pub(super) fn location(&self, span: Range<usize>) -> String {
        format!("{}, line {}", self.name, line_of(self.text, span.start))
    }

    /// Builds an error about a text that is not TOML. The line itself may contain a secret.
    fn refuse_syntax(&self, error: &toml::de::Error) -> InvalidInput {
        let location = error.span().map_or_else(|| self.name.to_owned(), |span| self.location(span));
        let message = error.message().trim().replace('\n', "; ");
        let problem = match message.split_once(", expected ") {
            Some((problem, "literal string" | "")) => problem.to_owned(),
            Some((problem, expected)) => format!("{problem}; it may be {expected}"),
            None => message,
        };
        InvalidInput::new(location, format!("the line is not TOML: {problem}"))
    }

    /// Builds an error about a value of the wrong kind, an unknown key or a missing one.
    pub(super) fn refuse(&self, error: &toml::de::Error) -> InvalidInput {
        let Some(span) = error.span() else { return InvalidInput::new(self.name, plain(error.message())) };
        let mut path = Vec::new();
        if let Ok(file) = self.parse() {
            path_at(file.get_ref(), span.start, &mut path);
        }
        InvalidInput::new(self.place(span, &path), plain(error.message()))
    }

    fn place(&self, span: Range<usize>, path: &[String]) -> String {
        let location = self.location(span);
        match path {
            [] => location,
            [table] => format!("{location}, {table}"),
            [table, keys @ ..] if table == "schedule" => format!("{location}, [[schedule]] {}", keys.join(".")),
            [table, name] => format!("{location}, [{table}.{name}]"),
            [table, name, keys @ ..] => format!("{location}, [{table}.{name}] {}", keys.join(".")),
        }
    }

    /// Adds file and line to a problem of a table, such as `[queue.bulk] lease`.
    pub(super) fn located(&self, problem: InvalidInput) -> InvalidInput {
        let Some(path) = path_of(&problem.field) else { return problem };
        let Ok(file) = self.parse() else { return problem };
        let Some(span) = span_of(file.get_ref(), &path) else { return problem };
        let field = format!("{}, {}", self.location(span), problem.field);
        problem.at(field)
    }
}

/// Splits the name of a field: `[queue.bulk] lease`, `[[schedule]] name: cron`.
fn path_of(field: &str) -> Option<Vec<&str>> {
    if let Some(rest) = field.strip_prefix("[[schedule]] ") {
        let (name, keys) = rest.split_once(": ").unwrap_or((rest, ""));
        return Some([&["schedule", name], &keys.split('.').collect::<Vec<_>>()[..]].concat());
    }
    let (head, keys) = field.strip_prefix('[')?.split_once(']')?;
    let (table, name) = head.split_once('.')?;
    Some([&[table, name], &keys.trim().split('.').collect::<Vec<_>>()[..]].concat())
}

/// Returns the place of the deepest key of a path that is in the file.
fn span_of(table: &DeTable<'_>, path: &[&str]) -> Option<Range<usize>> {
    let (first, rest) = path.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    let deeper = match value.get_ref() {
        DeValue::Table(inner) => span_of(inner, rest),
        DeValue::Array(items) => items.iter().filter_map(|item| item.get_ref().as_table()).find_map(|item| {
            let (_, name) = item.iter().find(|(key, _)| key.get_ref() == "name")?;
            let is_it = name.get_ref().as_str() == rest.first().copied();
            is_it.then(|| span_of(item, &rest[1..]).unwrap_or_else(|| name.span()))
        }),
        _ => None,
    };
    deeper.or_else(|| Some(key.span()))
}

/// Collects the keys of the value at an offset.
fn path_at(table: &DeTable<'_>, at: usize, path: &mut Vec<String>) {
    for (key, value) in table {
        let is_here = key.span().contains(&at) || value.span().contains(&at);
        let before = path.len();
        path.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) => path_at(inner, at, path),
            DeValue::Array(items) => {
                items.iter().filter_map(|item| item.get_ref().as_table()).for_each(|item| path_at(item, at, path));
            }
            _ => {}
        }
        if is_here || path.len() > before + 1 {
            return;
        }
        path.truncate(before);
    }
}

/// Returns the parser's message in plain words.
fn plain(message: &str) -> String {
    let message = message.trim().replace('\n', "; ");
    if let Some(key) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return format!("the key {key} is missing");
    }
    if let Some((key, known)) = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once("`, expected "))
    {
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let hint = nearest(key, known.iter().copied()).map(|near| format!(" (did you mean {near}?)"));
        return format!("unknown key {key:?}{}; it may be {}", hint.unwrap_or_default(), known.join(", "));
    }
    let wrong = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    match wrong.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((found, expected)) => format!("{} is not valid; it may be {}", shown(found), kind(expected)),
        None => message,
    }
}

fn kind(expected: &str) -> &str {
    let known = KINDS.iter().find(|(theirs, _)| *theirs == expected).map(|(_, ours)| *ours);
    known.unwrap_or(if expected.starts_with("struct ") { "a table" } else { expected })
}

/// Describes the value that was found.
fn shown(found: &str) -> String {
    let value = found.split_once('`').map_or("", |(_, rest)| rest.trim_end_matches('`'));
    match found.split([' ', '`']).next().unwrap_or_default() {
        "integer" | "floating" => format!("the number {value}"),
        "boolean" => format!("the value {value}"),
        "string" => format!("the text {}", found.trim_start_matches("string ")),
        "sequence" => "a list".to_owned(),
        "map" => "a table".to_owned(),
        _ => "the value".to_owned(),
    }
}

//! The width of lines.

use super::files;

const MAX_CODE: usize = 120;
const MAX_PROSE: usize = 100;

#[test]
fn lines_are_short() {
    let mut long = Vec::new();
    for (file, text) in files(&["rs", "lua", "md"]) {
        let lines = match file.rsplit_once('.') {
            Some((_, "rs")) => long_code(&text, "//"),
            Some((_, "lua")) => long_code(&text, "--"),
            _ => long_prose(&text),
        };
        long.extend(
            lines.into_iter().map(|(line, width, most)| format!("{file}:{line} has {width} columns, not {most}")),
        );
    }
    assert!(long.is_empty(), "{} long lines:\n{}", long.len(), long.join("\n"));
}

/// Number, width and limit of each line that is too long.
fn long_code(text: &str, comment: &str) -> Vec<(usize, usize, usize)> {
    let limit = |line: &str| if line.trim_start().starts_with(comment) { MAX_PROSE } else { MAX_CODE };
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.chars().count(), limit(line)));
    lines.filter(|(_, width, most)| width > most).collect()
}

/// Checks Markdown prose. Tables, code blocks, link targets and headings may be wider.
fn long_prose(text: &str) -> Vec<(usize, usize, usize)> {
    let mut in_code = false;
    let mut long = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if start.starts_with("```") {
            in_code = !in_code;
        }
        let is_prose = !in_code && !start.starts_with(['|', '#', '<', '`']) && !is_link_definition(start);
        let width = without_targets(line).chars().count();
        if is_prose && width > MAX_PROSE {
            long.push((at + 1, width, MAX_PROSE));
        }
    }
    long
}

fn is_link_definition(line: &str) -> bool {
    line.starts_with('[') && line.contains("]: ")
}

/// The line with `[text](target)` as `[text]()`.
fn without_targets(line: &str) -> String {
    let mut parts = line.split("](");
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        short.push_str("](");
        short.push_str(part.find(')').map_or(part, |end| &part[end..]));
    }
    short
}

#[test]
fn prose_is_measured_without_tables_code_and_link_targets() {
    let words = "word ".repeat(30);
    assert_eq!(long_prose(&words), [(1, 150, 100)]);
    for text in [format!("| {words}|"), format!("# {words}"), format!("```\n{words}\n```"), format!("[x]: {words}")] {
        assert_eq!(long_prose(&text), [], "{text}");
    }
    assert_eq!(long_prose(&format!("[word]({})", "x".repeat(200))), []);
    assert_eq!(
        long_code(&format!("    // {words}\nlet x = \"{words}\";\n{words}"), "//"),
        [(1, 157, 100), (2, 161, 120), (3, 150, 120)]
    );
}

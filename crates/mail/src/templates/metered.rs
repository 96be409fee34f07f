//! Insertion of limit checks into template source.
//!
//! tera does not limit what a template computes. Therefore calls of the
//! [`functions`](super::functions) are inserted wherever work or memory can multiply: at each turn
//! of a loop; at each start of a component; at each start of a file or block that may be shown more
//! than once; at each value stored in a variable; and at output that is captured instead of sent.

use std::collections::BTreeSet;

use super::{
    functions::{SHOW, STEP, STEP_CONDITION, STORE},
    nesting::files_within,
    source::TemplateSources,
    tag::{Segment, SegmentKind, Word, is_name, segments, words},
};

/// Returns the files with limit checks, and the number of values in their longest expression.
pub(super) fn with_meters(sources: &TemplateSources) -> (TemplateSources, usize) {
    let calls_super = sources.values().any(|source| calls_super(source));
    // Any file may be included inside captured output, or shown by `super()`.
    let all_captured = calls_super || sources.values().any(|source| includes_within(source));
    let included: BTreeSet<&str> = sources.values().flat_map(|source| files_within(source, &["include"])).collect();
    let metered = sources.iter().map(|(name, source)| {
        let context = FileContext { is_included: included.contains(name.as_str()), calls_super, all_captured };
        (name.clone(), metered(source, context))
    });
    let metered = metered.collect();
    let parts = sources.values().flat_map(|source| segments(source)).map(|segment| parts(&segment)).max();
    (metered, parts.unwrap_or(1))
}

/// Contexts in which a file can be shown.
#[derive(Debug, Clone, Copy)]
struct FileContext {
    /// Whether other files include it, so that it may be shown more than once.
    is_included: bool,
    /// Whether a file calls `super()`, so that blocks may be shown more than once.
    calls_super: bool,
    all_captured: bool,
}

/// Upper bound on the number of values that an expression creates.
fn parts(segment: &Segment<'_>) -> usize {
    let makes = |word: &&Word<'_>| matches!(word.text, "~" | "|" | "," | "...");
    if segment.is_code() { 1 + words(segment.inner).iter().filter(makes).count() } else { 1 }
}

fn calls_super(source: &str) -> bool {
    source.contains("super")
        && segments(source)
            .any(|segment| segment.is_code() && words(segment.inner).iter().any(|word| word.text == "super"))
}

/// Whether a file includes another one inside captured output.
fn includes_within(source: &str) -> bool {
    let mut depth = 0_usize;
    segments(source).any(|segment| {
        depth = depth.saturating_add_signed(capture_change(&segment));
        depth > 0 && keyword(&segment) == "include"
    })
}

fn metered(source: &str, context: FileContext) -> String {
    let extends = segments(source).any(|segment| keyword(&segment) == "extends");
    let mut writer =
        Writer { out: String::with_capacity(source.len() * 5 / 4), captured: 0, blocks: 0, extends, context };
    if context.is_included && !extends {
        writer.write_check(false, 0);
    }
    let mut segments = segments(source).peekable();
    while let Some(segment) = segments.next() {
        let text = segments.peek().filter(|next| next.kind == SegmentKind::Text).map_or(0, |next| next.whole.len());
        writer.write(&segment, text);
    }
    writer.out
}

struct Writer {
    out: String,
    /// Number of enclosing sets, filters and components that capture their output.
    captured: usize,
    blocks: usize,
    extends: bool,
    context: FileContext,
}

impl Writer {
    /// Writes a segment that is followed by `text` bytes of text.
    fn write(&mut self, segment: &Segment<'_>, text: usize) {
        match segment.kind {
            SegmentKind::Text | SegmentKind::Comment => self.out.push_str(segment.whole),
            // Its text is output like any other.
            SegmentKind::Raw => {
                if self.captures_output() {
                    self.write_check(segment.trims_before(), segment.whole.len());
                }
                self.out.push_str(segment.whole);
            }
            SegmentKind::Variable => {
                self.variable(segment);
                if self.captures_output() && text > 0 {
                    self.write_check(segment.trims_after(), text);
                }
            }
            SegmentKind::Tag => self.tag(segment, text),
        }
    }

    fn variable(&mut self, segment: &Segment<'_>) {
        let inner = with_conditions(segment.inner);
        if self.captures_output() && !inner.trim_start().starts_with('<') {
            self.write_with(segment, &format!(" ({inner}) | {SHOW} "));
        } else {
            self.write_with(segment, &inner);
        }
    }

    fn tag(&mut self, segment: &Segment<'_>, text: usize) {
        let keyword = keyword(segment);
        match keyword {
            "set" | "set_global" => self.write_with(segment, &set(segment.inner)),
            _ => self.write_with(segment, &with_conditions(segment.inner)),
        }
        match keyword {
            "block" => self.blocks += 1,
            "endblock" => self.blocks = self.blocks.saturating_sub(1),
            _ => self.captured = self.captured.saturating_add_signed(capture_change(segment)),
        }
        let captured = if self.captures_output() { text } else { 0 };
        let is_start = matches!(keyword, "for" | "component") || keyword == "block" && self.context.calls_super;
        if is_start || captured > 0 {
            self.write_check(segment.trims_after(), captured);
        }
    }

    /// Writes a segment with another content between its delimiters.
    fn write_with(&mut self, segment: &Segment<'_>, inner: &str) {
        self.out.push_str(segment.start());
        self.out.push_str(inner);
        self.out.push_str(segment.end());
    }

    /// Writes a limit check. Beside a delimiter that trims white space, it trims too.
    fn write_check(&mut self, trims: bool, bytes: usize) {
        let (start, end) = if trims { ("{{-", "-}}") } else { ("{{", "}}") };
        let argument = if bytes > 0 { format!("n={bytes}") } else { String::new() };
        self.out.push_str(&format!("{start} {STEP}({argument}) {end}"));
    }

    fn captures_output(&self) -> bool {
        self.captured > 0 || self.context.all_captured && (!self.extends || self.blocks > 0)
    }
}

/// Change in the nesting of captured output.
fn capture_change(segment: &Segment<'_>) -> isize {
    match keyword(segment) {
        "filter" | "component" | "<" => 1,
        "set" | "set_global" if !assigns(segment.inner) => 1,
        "endset" | "endfilter" | "endcomponent" | "</" => -1,
        _ => 0,
    }
}

fn keyword<'a>(segment: &Segment<'a>) -> &'a str {
    if segment.kind == SegmentKind::Tag { words(segment.inner).first().map_or("", |word| word.text) } else { "" }
}

fn assigns(inner: &str) -> bool {
    words(inner).get(2).is_some_and(|word| word.text == "=")
}

/// Adds a size check to ` set x = a ~ b ` or ` set x | upper `.
fn set(inner: &str) -> String {
    let words = words(inner);
    if !assigns(inner) {
        return format!("{} | {STORE} ", inner.trim_end());
    }
    let is_path = |word: &Word<'_>| matches!(word.text, "." | "?.") || is_name(word.text) || word.is_literal();
    if words[3..].iter().all(is_path) {
        return inner.to_owned();
    }
    let (name, value) = inner.split_at(words[2].at + 1);
    format!("{name} ({}) | {STORE} ", with_conditions(value))
}

/// Adds a check at each turn to the condition of list comprehensions.
fn with_conditions(inner: &str) -> String {
    if !inner.contains("for") || !inner.contains('[') {
        return inner.to_owned();
    }
    let (mut out, mut from) = (String::with_capacity(inner.len() + 32), 0);
    let mut put = |at: usize, text: &str| {
        out.push_str(&inner[from..at]);
        out.push_str(text);
        from = at;
    };
    // Open brackets: whether it is a list, and the last keyword of a comprehension in it.
    let mut open: Vec<(bool, ComprehensionState)> = Vec::new();
    for word in words(inner) {
        match word.text {
            "[" | "?[" => open.push((true, ComprehensionState::Nothing)),
            "(" | "{" => open.push((false, ComprehensionState::Nothing)),
            "]" => {
                if let Some((true, ComprehensionState::For)) = open.pop() {
                    put(word.at, &format!(" if {STEP_CONDITION}()"));
                }
            }
            ")" | "}" => drop(open.pop()),
            "for" => {
                if let Some((true, state @ ComprehensionState::Nothing)) = open.last_mut() {
                    *state = ComprehensionState::For;
                }
            }
            "if" => {
                if let Some((true, state @ ComprehensionState::For)) = open.last_mut() {
                    *state = ComprehensionState::If;
                    put(word.at + 2, &format!(" {STEP_CONDITION}() and "));
                }
            }
            _ => {}
        }
    }
    put(inner.len(), "");
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ComprehensionState {
    Nothing,
    For,
    If,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &str) {
        let expected = expected.replace("STEP", "{{ postroom_step() }}").replace("GO", "postroom_go()");
        let context = FileContext { is_included: true, calls_super: true, all_captured: false };
        assert_eq!(metered(source, context), expected, "{source}");
    }

    #[test]
    fn checks_are_inserted_where_work_can_multiply() {
        for (source, expected) in [
            (
                "a {{ b }} {# {% for #} {% raw %}{% for %}{% endraw %}",
                "STEPa {{ b }} {# {% for #} {% raw %}{% for %}{% endraw %}",
            ),
            ("{% for x in xs -%} a {% endfor %}", "STEP{% for x in xs -%}{{- postroom_step() -}} a {% endfor %}"),
            ("{% extends 'x' %}{% block b %}a{% endblock %}", "{% extends 'x' %}{% block b %}STEPa{% endblock %}"),
            ("{% set x = a.b %}{% set x = 'a' %}", "STEP{% set x = a.b %}{% set x = 'a' %}"),
            ("{%- set x = a ~ b -%}", "STEP{%- set x = ( a ~ b ) | postroom_keep -%}"),
            ("{% set x %}ab{{ c }}{% endset %}d{{ e }}", {
                "STEP{% set x | postroom_keep %}{{ postroom_step(n=2) }}ab{{ ( c ) | postroom_show }}\
                {% endset %}d{{ e }}"
            }),
            ("{{ [x for x in xs] }}", "STEP{{ [x for x in xs if GO] }}"),
            ("{{ [a[0] for x in xs if [y for y in f(a=[1])]] }}", {
                "STEP{{ [a[0] for x in xs if GO and  [y for y in f(a=[1]) if GO]] }}"
            }),
            ("{{ 'for [' ~ a[1] }}", "STEP{{ 'for [' ~ a[1] }}"),
        ] {
            check(source, expected);
        }
    }

    #[test]
    fn a_block_that_is_shown_once_has_no_check() {
        let source = "{% block b %}{{ a }}{% endblock %}";
        let context = FileContext { is_included: false, calls_super: false, all_captured: false };
        assert_eq!(metered(source, context), source);
    }

    #[test]
    fn the_longest_expression_is_measured() {
        let sources = [("a.html", "{{ a | upper | lower }} , | ~ {% set b = a ~ 'x|y' ~ [c, ...d] %}"), ("b.txt", "x")];
        let sources = sources.map(|(name, source)| (name.to_owned(), source.to_owned())).into();
        assert_eq!(with_meters(&sources).1, 5);
    }
}

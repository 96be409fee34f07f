//! Template code in HTML: what a scanner of HTML passes over, and what it means for the elements.

use std::ops::Range;

use crate::templates::tag::{Segment, SegmentKind, segments, words};

/// Piece of template code.
#[derive(Debug, Clone)]
pub(super) struct TemplateCode<'a> {
    pub(super) range: Range<usize>,
    pub(super) kind: CodeKind<'a>,
    /// Whether it trims white space beside it, which may join words.
    pub(super) trims: bool,
}

/// Effect of template code on what is around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodeKind<'a> {
    /// Starts content that may be rendered never, once or several times.
    Opens,
    /// Starts a block, which another file may replace.
    Block(&'a str),
    /// Starts another branch: `{% else %}`.
    Divides,
    /// Ends a block or a branch.
    Closes,
    /// Writes a value; whether the value may be HTML.
    Prints { is_html: bool },
    /// Writes another file.
    Include(&'a str),
    /// Inherits from another file.
    Extends(&'a str),
    /// `{# … #}` with its text.
    Comment(&'a str),
    /// `{#` without an end.
    OpenComment,
    /// Writes nothing.
    Silent,
}

/// All template code of a source, in order.
pub(super) fn codes(source: &str) -> Vec<TemplateCode<'_>> {
    let (mut codes, mut at) = (Vec::new(), 0);
    for segment in segments(source) {
        let range = at..at + segment.whole.len();
        at = range.end;
        let trims = segment.kind != SegmentKind::Text && (segment.trims_before() || segment.trims_after());
        let kind = match segment.kind {
            SegmentKind::Text if segment.whole.starts_with("{#") => CodeKind::OpenComment,
            SegmentKind::Text => continue,
            SegmentKind::Comment => CodeKind::Comment(segment.whole),
            SegmentKind::Variable => CodeKind::Prints { is_html: writes_html(segment.inner) },
            SegmentKind::Tag => kind_of_tag(segment.inner),
            SegmentKind::Raw => {
                codes.extend(raw_tags(&segment, range.start));
                continue;
            }
        };
        codes.push(TemplateCode { range, kind, trims });
    }
    codes
}

/// The two tags around a raw text. Its content is plain HTML.
fn raw_tags<'a>(segment: &Segment<'a>, at: usize) -> [TemplateCode<'a>; 2] {
    let start = segment.whole.find("%}").map_or(0, |end| end + 2);
    let end = segment.whole.rfind("{%").unwrap_or(start);
    let silent = |range| TemplateCode { range, kind: CodeKind::Silent, trims: true };
    [silent(at..at + start), silent(at + end..at + segment.whole.len())]
}

/// Whether a variable may be HTML: it is marked as safe, or it is a component.
fn writes_html(inner: &str) -> bool {
    words(inner).iter().any(|word| matches!(word.text, "safe" | "super" | "<"))
}

fn kind_of_tag(inner: &str) -> CodeKind<'_> {
    let words = words(inner);
    let text = |number: usize| words.get(number).map_or("", |word| word.text);
    let name = text(1).trim_matches(['"', '\'', '`']);
    match text(0) {
        "if" | "for" | "filter" | "component" => CodeKind::Opens,
        "set" | "set_global" if text(2) != "=" => CodeKind::Opens,
        "block" => CodeKind::Block(name),
        "elif" | "else" => CodeKind::Divides,
        first if first.starts_with("end") => CodeKind::Closes,
        "include" => CodeKind::Include(name),
        "extends" => CodeKind::Extends(name),
        "</" => CodeKind::Closes,
        "<" if text(words.len().saturating_sub(2)) == "/" => CodeKind::Prints { is_html: true },
        "<" => CodeKind::Opens,
        _ => CodeKind::Silent,
    }
}

/// The codes that begin in a range.
pub(super) fn within<'c, 'a>(codes: &'c [TemplateCode<'a>], range: &Range<usize>) -> &'c [TemplateCode<'a>] {
    let from = codes.partition_point(|code| code.range.start < range.start);
    let to = codes.partition_point(|code| code.range.start < range.end);
    &codes[from..to.max(from)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_a_source() {
        let source = "a{% if x %}{{ y }}{{ z | safe }}{% elif b %}{% endif %}{# c #}{% raw %}{{ d }}{% endraw %}\
            {% block e %}{% include 'f' %}{% set g = 1 %}{% set h %}{% endset %}{% extends \"i\" %}{% break %}{# j";
        let codes = codes(source);
        let kinds: Vec<CodeKind<'_>> = codes.iter().map(|code| code.kind).collect();
        let (text, html) = (CodeKind::Prints { is_html: false }, CodeKind::Prints { is_html: true });
        assert_eq!(
            kinds,
            [
                CodeKind::Opens,
                text,
                html,
                CodeKind::Divides,
                CodeKind::Closes,
                CodeKind::Comment("{# c #}"),
                CodeKind::Silent,
                CodeKind::Silent,
                CodeKind::Block("e"),
                CodeKind::Include("f"),
                CodeKind::Silent,
                CodeKind::Opens,
                CodeKind::Closes,
                CodeKind::Extends("i"),
                CodeKind::Silent,
                CodeKind::OpenComment,
            ]
        );
        assert_eq!(&source[codes[7].range.clone()], "{% endraw %}");
    }
}

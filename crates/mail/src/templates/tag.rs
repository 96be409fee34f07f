//! Lexer of template source, since tera's own is not public: text, tags, variables and comments,
//! and the words of a tag.

use unicode_ident::{is_xid_continue, is_xid_start};

/// Segment of template source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment<'a> {
    pub(super) kind: SegmentKind,
    pub(super) whole: &'a str,
    /// Content between the delimiters of a tag or a variable.
    pub(super) inner: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SegmentKind {
    Text,
    /// `{% … %}`
    Tag,
    /// `{{ … }}`
    Variable,
    /// `{# … #}`
    Comment,
    /// `{% raw %} … {% endraw %}`
    Raw,
}

/// Name, literal or sign, and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Segment<'a> {
    pub(super) fn is_code(&self) -> bool {
        matches!(self.kind, SegmentKind::Tag | SegmentKind::Variable)
    }

    /// Start delimiter.
    pub(super) fn start(&self) -> &'a str {
        &self.whole[..if self.trims_before() { 3 } else { 2 }]
    }

    /// End delimiter.
    pub(super) fn end(&self) -> &'a str {
        &self.whole[self.start().len() + self.inner.len()..]
    }

    /// Whether it trims the white space before it.
    pub(super) fn trims_before(&self) -> bool {
        self.whole.as_bytes().get(2) == Some(&b'-')
    }

    /// Whether it trims the white space after it.
    pub(super) fn trims_after(&self) -> bool {
        self.whole.len().checked_sub(3).is_some_and(|at| self.whole.as_bytes()[at] == b'-')
    }
}

impl Word<'_> {
    pub(super) fn is_literal(&self) -> bool {
        self.text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '"' | '\'' | '`'))
    }
}

/// Splits a source into segments. A segment without an end, which tera rejects, is text up to the
/// end of the source.
pub(super) fn segments(source: &str) -> impl Iterator<Item = Segment<'_>> {
    let mut rest = source;
    std::iter::from_fn(move || {
        let segment = if rest.is_empty() { None } else { Some(first_segment(rest)) };
        rest = &rest[segment.map_or(0, |segment| segment.whole.len())..];
        segment
    })
}

fn first_segment(source: &str) -> Segment<'_> {
    let text = |len: usize| Segment { kind: SegmentKind::Text, whole: &source[..len], inner: "" };
    match next_delimiter(source) {
        None => text(source.len()),
        Some(0) => delimited(source).unwrap_or_else(|| text(source.len())),
        Some(start) => text(start),
    }
}

fn next_delimiter(source: &str) -> Option<usize> {
    let is_start = |at: &usize| matches!(source.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#'));
    memchr::memchr_iter(b'{', source.as_bytes()).find(is_start)
}

fn delimited(source: &str) -> Option<Segment<'_>> {
    let kind = match source.as_bytes().get(1)? {
        b'{' => SegmentKind::Variable,
        b'%' => SegmentKind::Tag,
        _ => {
            let len = source.get(2..)?.find("#}")? + 4;
            return Some(Segment { kind: SegmentKind::Comment, whole: &source[..len], inner: "" });
        }
    };
    if kind == SegmentKind::Tag
        && let Some(len) = raw_len(source)
    {
        return Some(Segment { kind: SegmentKind::Raw, whole: &source[..len], inner: "" });
    }
    let start = if source.as_bytes().get(2) == Some(&b'-') { 3 } else { 2 };
    let inner = start + inner_len(&source[start..], if kind == SegmentKind::Tag { "%}" } else { "}}" })?;
    let end = inner + if source.as_bytes()[inner] == b'-' { 3 } else { 2 };
    Some(Segment { kind, whole: &source[..end], inner: &source[start..inner] })
}

/// Length up to the end delimiter, or up to a `-` right before it. Delimiters inside strings are
/// skipped.
fn inner_len(inner: &str, end: &str) -> Option<usize> {
    let mut at = 0;
    while at < inner.len() {
        let rest = &inner[at..];
        if rest.starts_with(end) || rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(end)) {
            return Some(at);
        }
        at += word_len(rest);
    }
    None
}

/// Length from `{% raw %}` to the end of the first `{% endraw %}`.
fn raw_len(source: &str) -> Option<usize> {
    let mut at = lone_tag_len(source, "raw")?;
    while let Some(start) = source[at..].find("{%") {
        at += start;
        match lone_tag_len(&source[at..], "endraw") {
            Some(len) => return Some(at + len),
            None => at += 2,
        }
    }
    None
}

/// Length of a tag that consists of one word.
fn lone_tag_len(source: &str, word: &str) -> Option<usize> {
    let rest = source.strip_prefix("{%")?;
    let rest = rest.strip_prefix('-').unwrap_or(rest).trim_ascii_start().strip_prefix(word)?.trim_ascii_start();
    let rest = rest.strip_prefix('-').unwrap_or(rest).strip_prefix("%}")?;
    Some(source.len() - rest.len())
}

/// Splits the content of a tag into words.
pub(super) fn words(inner: &str) -> Vec<Word<'_>> {
    let (mut words, mut at) = (Vec::new(), 0);
    while at < inner.len() {
        let len = word_len(&inner[at..]);
        let text = &inner[at..at + len];
        if !text.trim_ascii().is_empty() {
            words.push(Word { text, at });
        }
        at += len;
    }
    words
}

/// Length of the word, string or white space at the start of a text.
fn word_len(text: &str) -> usize {
    let Some(first) = text.chars().next() else { return 0 };
    let run = |goes_on: fn(char) -> bool| text.find(|c: char| !goes_on(c)).unwrap_or(text.len());
    match first {
        '"' | '\'' | '`' => string_len(text, first),
        c if c.is_ascii_whitespace() => run(|c| c.is_ascii_whitespace()),
        c if c.is_ascii_alphanumeric() || c == '_' => run(is_xid_continue),
        c if is_xid_start(c) => run(is_xid_continue),
        _ if text.starts_with("...") => 3,
        _ if ["?.", "?[", "</", "==", "!=", ">=", "<="].iter().any(|sign| text.starts_with(sign)) => 2,
        _ => first.len_utf8(),
    }
}

/// Length of a string with its quotes; an unterminated string extends to the end.
fn string_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether a word is a name or a keyword.
pub(super) fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_add_up_to_the_source() {
        for (source, kinds) in [
            (
                "a{{ b }}c{% d %}{#- {{ -#}",
                &[SegmentKind::Text, SegmentKind::Variable, SegmentKind::Text, SegmentKind::Tag, SegmentKind::Comment]
                    [..],
            ),
            ("{{ \"}}\" }}{% x '%}\\'' -%}{", &[SegmentKind::Variable, SegmentKind::Tag, SegmentKind::Text]),
            ("{%- raw -%}{{ {% endraw x %}{%-endraw-%}{{ {a: {b: 1}} }}", &[SegmentKind::Raw, SegmentKind::Variable]),
            ("{{ {\"a\": {\"b\": 1} } }} {% raw", &[SegmentKind::Variable, SegmentKind::Text, SegmentKind::Text]),
            ("{#}{{ #}x", &[SegmentKind::Comment, SegmentKind::Text]),
            ("ż{{ 'ó' }}{{ x", &[SegmentKind::Text, SegmentKind::Variable, SegmentKind::Text]),
        ] {
            let found: Vec<_> = segments(source).collect();
            assert_eq!(found.iter().map(|segment| segment.whole).collect::<String>(), source);
            if !source.contains("{a: {b") {
                assert_eq!(found.iter().map(|segment| segment.kind).collect::<Vec<_>>(), kinds, "{source}");
            }
            for segment in found.iter().filter(|segment| segment.is_code()) {
                assert_eq!(format!("{}{}{}", segment.start(), segment.inner, segment.end()), segment.whole);
            }
        }
    }

    #[test]
    fn words_of_a_tag() {
        let found: Vec<_> =
            words(" for x_1 in a?.b[0] | f(c=\"d e\") ~ ...g ").into_iter().map(|word| word.text).collect();
        let expected = [
            "for", "x_1", "in", "a", "?.", "b", "[", "0", "]", "|", "f", "(", "c", "=", "\"d e\"", ")", "~", "...", "g",
        ];
        assert_eq!(found, expected);
    }
}

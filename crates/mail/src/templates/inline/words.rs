//! Words of a `class` or `id` attribute, some of which depend on the variables.

use std::ops::Range;

use super::{
    certainty::Certainty,
    code::{CodeKind, TemplateCode, within},
};

/// Maximum number of texts in one word; a word of more may be any.
const MOST_PARTS: usize = 8;

/// Words that an attribute has, or may have.
#[derive(Debug, Default)]
pub(super) struct AttributeWords {
    certain: Vec<String>,
    possible: Vec<PossibleWord>,
    /// Whether it may have any word.
    is_open_ended: bool,
}

/// Word that template code is a part of.
#[derive(Debug)]
enum PossibleWord {
    /// Some of these texts, in this order.
    Of(Vec<String>),
    /// Any word that starts with a text.
    From(String),
}

impl AttributeWords {
    /// Words that nothing is known of.
    pub(super) fn unknown() -> Self {
        Self { is_open_ended: true, ..Self::default() }
    }

    /// Words of a value in a source.
    pub(super) fn of(source: &str, value: &Range<usize>, codes: &[TemplateCode<'_>], is_conditional: bool) -> Self {
        let codes = within(codes, value);
        if source[value.clone()].contains('&') || codes.iter().any(|code| code.trims) {
            return Self::unknown();
        }
        let mut reader = WordReader { depth: usize::from(is_conditional), ..WordReader::default() };
        let mut at = value.start;
        for code in codes {
            reader.text(&source[at..code.range.start]);
            reader.code(code.kind);
            at = code.range.end;
        }
        reader.text(source.get(at..value.end).unwrap_or_default());
        reader.end_word();
        reader.words
    }

    /// Whether a word is one of them.
    pub(super) fn contain(&self, word: &str) -> Certainty {
        if self.certain.iter().any(|certain| certain == word) {
            return Certainty::Yes;
        }
        let is_possible = self.is_open_ended || self.possible.iter().any(|possible| possible.may_be(word));
        Certainty::of(is_possible).unsure_if(is_possible)
    }

    pub(super) fn certain(&self) -> &[String] {
        &self.certain
    }

    pub(super) fn are_known(&self) -> bool {
        !self.is_open_ended && self.possible.is_empty()
    }
}

impl PossibleWord {
    fn may_be(&self, word: &str) -> bool {
        match self {
            Self::From(start) => word.starts_with(start.as_str()),
            Self::Of(parts) => is_made_of(word, parts),
        }
    }
}

/// Whether a word consists of some of the parts, in their order.
fn is_made_of(word: &str, parts: &[String]) -> bool {
    word.is_empty()
        || parts.iter().enumerate().any(|(number, part)| {
            word.strip_prefix(part.as_str()).is_some_and(|rest| is_made_of(rest, &parts[number + 1..]))
        })
}

#[derive(Debug, Default)]
struct WordReader {
    words: AttributeWords,
    /// Depth of template branches.
    depth: usize,
    parts: Vec<String>,
    /// Whether template code is in the word, and whether it writes something there.
    has_code: bool,
    start: Option<String>,
    /// Depth at the first text of the word.
    first_depth: usize,
}

impl WordReader {
    fn text(&mut self, text: &str) {
        for (number, part) in text.split(|c: char| c.is_ascii_whitespace()).enumerate() {
            if number > 0 {
                self.end_word();
            }
            if !part.is_empty() {
                if self.parts.is_empty() {
                    self.first_depth = self.depth;
                }
                self.parts.push(part.to_owned());
            }
        }
    }

    fn code(&mut self, kind: CodeKind<'_>) {
        match kind {
            CodeKind::Comment(_) | CodeKind::Silent | CodeKind::Extends(_) | CodeKind::OpenComment => self.branch(0),
            CodeKind::Prints { .. } | CodeKind::Include(_) | CodeKind::Block(_) => {
                if self.start.is_none() {
                    self.start = Some(self.sure_start());
                }
                self.depth += usize::from(matches!(kind, CodeKind::Block(_)));
            }
            CodeKind::Opens => self.branch(1),
            CodeKind::Divides => self.branch(0),
            CodeKind::Closes => self.branch(-1),
        }
    }

    fn branch(&mut self, change: isize) {
        self.has_code = true;
        self.depth = self.depth.saturating_add_signed(change);
    }

    /// Text with which the word starts if it goes on.
    fn sure_start(&self) -> String {
        let is_sure = self.parts.len() == 1 && self.first_depth >= self.depth;
        if is_sure && (!self.has_code || self.first_depth == self.depth) {
            self.parts[0].clone()
        } else {
            String::new()
        }
    }

    fn end_word(&mut self) {
        let parts = std::mem::take(&mut self.parts);
        let has_code = std::mem::take(&mut self.has_code);
        if let Some(start) = self.start.take() {
            self.words.possible.push(PossibleWord::From(start));
        } else if parts.len() > MOST_PARTS {
            self.words.is_open_ended = true;
        } else if has_code || self.depth > 0 {
            if !parts.is_empty() {
                self.words.possible.push(PossibleWord::Of(parts));
            }
        } else {
            self.words.certain.extend(parts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::templates::inline::code::codes;

    #[test]
    fn words_are_certain_possible_or_neither() {
        for (value, certain, possible, not) in [
            ("a b", "a b", "", "c ab"),
            ("a {{ x }} b", "a b", "c", ""),
            ("col-{{ n }} b", "b", "col-1 col-", "c"),
            ("{% if x %}hot{% endif %} cell", "cell", "hot", "cold ho hotcell"),
            ("{% if x %}odd{% else %}even{% endif %}", "", "odd even", "x"),
            ("a{% if x %}b{% endif %} c", "c", "a ab", "d"),
            ("{% if x %} hot {% endif %} cell", "cell", "hot", "cold"),
            ("{% if x %}a b{% endif %}", "", "a b", "ab"),
            ("{% if x %}a{% endif %}{{ y }}", "", "a z", ""),
            ("a{# c #}b", "", "ab", "c"),
            ("a {%- if x %} b{% endif %}", "", "a ab", ""),
            ("a &amp; b", "", "a c", ""),
        ] {
            let words = AttributeWords::of(value, &(0..value.len()), &codes(value), false);
            for (list, expected) in [(certain, Certainty::Yes), (possible, Certainty::Maybe), (not, Certainty::No)] {
                for word in list.split_whitespace() {
                    let found = words.contain(word);
                    assert_eq!(found, expected, "{word} in {value}");
                }
            }
        }
    }
}

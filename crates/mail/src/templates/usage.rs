//! Names that template source uses, and those whose truth it tests.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    names::is_start,
    source::TemplateSources,
    tag::{Word, segments, words},
};

/// Names in some template source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamesInUse {
    /// All names, and all texts in quotes.
    pub names: BTreeSet<String>,
    /// Names that a condition tests alone, as in `{% if vip %}` or `{{ a if not vip else b }}`. Any
    /// text but the empty one is true there.
    pub conditions: BTreeSet<String>,
}

/// Names by file.
#[derive(Debug)]
pub(super) struct Usage(BTreeMap<String, NamesInUse>);

impl Usage {
    pub(super) fn of(sources: &TemplateSources) -> Self {
        Self(sources.iter().map(|(file, source)| (file.clone(), NamesInUse::of(source))).collect())
    }

    /// Returns the names in all files that are wanted.
    pub(super) fn within(&self, is_wanted: impl Fn(&str) -> bool) -> NamesInUse {
        let mut all = NamesInUse::default();
        for (_, found) in self.0.iter().filter(|(file, _)| is_wanted(file)) {
            all.names.extend(found.names.iter().cloned());
            all.conditions.extend(found.conditions.iter().cloned());
        }
        all
    }
}

impl NamesInUse {
    /// Finds the names in template source.
    #[must_use]
    pub fn of(source: &str) -> Self {
        let mut found = Self::default();
        for segment in segments(source).filter(super::tag::Segment::is_code) {
            let words = words(segment.inner);
            for (at, word) in words.iter().enumerate() {
                let name = word.text.trim_matches(['"', '\'', '`']);
                if word.text.starts_with(is_start) || name != word.text {
                    found.names.insert(name.to_owned());
                }
                if is_condition(&words, at) {
                    found.conditions.insert(name.to_owned());
                }
            }
        }
        found
    }
}

/// Whether the word is a name whose truth alone is tested.
fn is_condition(words: &[Word<'_>], at: usize) -> bool {
    let text = |at: usize| words.get(at).map_or("", |word| word.text);
    let before = at.checked_sub(1).map_or("", text);
    let is_after_test = ["if", "elif", "not", "and", "or"].contains(&before)
        || before == "(" && at.checked_sub(2).is_some_and(|at| ["if", "elif", "not", "and", "or"].contains(&text(at)));
    let is_before_end = ["", "and", "or", "else", ")", "]"].contains(&text(at + 1));
    let is_operand_first = ["and", "or"].contains(&text(at + 1)) && matches!(before, "" | "(" | "=");
    let is_word = text(at).starts_with(is_start) && !["not", "and", "or", "if"].contains(&text(at));
    is_word && (is_after_test && is_before_end || is_operand_first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_tested_alone() {
        for (source, conditions) in [
            ("{% if vip %}{% elif a and not b %}", &["a", "b", "vip"][..]),
            ("{% if (vip) or x == \"a\" %}", &["vip"]),
            ("{{ \"a\" if vip else \"b\" }}", &["vip"]),
            ("{% if größe %}", &["größe"]),
            ("{% if vip == \"True\" %}{% if a is defined %}{% if b | int %}{% if c.d %}{% if f(x) %}", &[]),
            ("{% if a == b or c %}", &["c"]),
            ("{{ vip }} if x", &[]),
        ] {
            let found: Vec<String> = NamesInUse::of(source).conditions.into_iter().collect();
            assert_eq!(found, conditions, "{source}");
        }
    }

    #[test]
    fn all_names_are_found() {
        let found = NamesInUse::of("{{ a.b | default(value=c) }} d {{ vars[\"First Name\"] }}{# e #}");
        let expected = ["First Name", "a", "b", "c", "default", "value", "vars"];
        assert_eq!(found.names.into_iter().collect::<Vec<_>>(), expected);
    }
}

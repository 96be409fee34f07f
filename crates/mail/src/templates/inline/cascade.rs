//! The cascade: the declarations that are written into an element.

use std::collections::{HashMap, HashSet};

use super::{
    certainty::Certainty,
    matching::{Matcher, Steps, TooManySteps},
    selector::{Condition, Selector},
    sheet::{StyleDeclaration, StyleRule},
    tree::SourceElement,
};

/// Rule with what is known of its use in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct AppliedRule<'a> {
    pub(super) rule: &'a StyleRule,
    /// Whether the rule is in each rendering of the file.
    pub(super) certainty: Certainty,
    /// Whether a condition decides on it when the mail is read: a media query.
    pub(super) condition: Option<&'a str>,
}

/// Rules of a file, by what their selectors need.
pub(super) struct RuleIndex<'a> {
    entries: Vec<IndexEntry<'a>>,
    by_id: HashMap<&'a str, Vec<usize>>,
    by_class: HashMap<&'a str, Vec<usize>>,
    by_name: HashMap<&'a str, Vec<usize>>,
    others: Vec<usize>,
}

/// Selector of a rule.
struct IndexEntry<'a> {
    applied: AppliedRule<'a>,
    selector: &'a Selector,
}

/// Declarations to be written into an element.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AddedStyle<'a> {
    /// Weaker than the element's own `style`.
    pub(super) normal: Vec<&'a StyleDeclaration>,
    /// Stronger than the element's own `style`.
    pub(super) important: Vec<&'a StyleDeclaration>,
    /// A rule that holds under a condition, and the property of it that is now weaker.
    pub(super) overridden: Option<(String, &'a str)>,
}

/// Specificity, then order.
type Strength = (u32, usize);

/// Match of an element; the strongest is the greatest.
struct Matched<'a> {
    strength: Strength,
    certainty: Certainty,
    applied: AppliedRule<'a>,
    is_conditional: bool,
}

impl<'a> RuleIndex<'a> {
    pub(super) fn of(rules: &[AppliedRule<'a>]) -> Self {
        let mut index = Self {
            entries: Vec::new(),
            by_id: HashMap::new(),
            by_class: HashMap::new(),
            by_name: HashMap::new(),
            others: Vec::new(),
        };
        for applied in rules {
            for selector in applied.rule.selectors.iter().filter(|selector| !selector.is_of_part) {
                index.add(IndexEntry { applied: *applied, selector });
            }
        }
        index
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn add(&mut self, entry: IndexEntry<'a>) {
        let compound = &entry.selector.compounds[0];
        let id = compound.conditions.iter().find_map(|condition| match condition {
            Condition::Id(id) => Some(id.as_str()),
            _ => None,
        });
        let class = compound.conditions.iter().find_map(|condition| match condition {
            Condition::Class(class) => Some(class.as_str()),
            _ => None,
        });
        let list = match (id, class, compound.name.as_deref()) {
            (Some(id), _, _) => self.by_id.entry(id).or_default(),
            (None, Some(class), _) => self.by_class.entry(class).or_default(),
            (None, None, Some(name)) => self.by_name.entry(name).or_default(),
            (None, None, None) => &mut self.others,
        };
        list.push(self.entries.len());
        self.entries.push(entry);
    }

    /// Entries that may select an element, in their order.
    fn candidates(&self, element: &SourceElement, steps: &mut Steps) -> Result<Vec<usize>, TooManySteps> {
        let mut found = self.others.clone();
        if element.name.is_empty() {
            found.extend(self.by_name.values().flatten());
        } else {
            found.extend(self.by_name.get(element.name.as_str()).into_iter().flatten());
        }
        for (map, words) in [(&self.by_class, &element.classes), (&self.by_id, &element.id)] {
            if words.are_known() {
                let lists = words.certain().iter().filter_map(|word| map.get(word.as_str()));
                found.extend(lists.flatten());
            } else {
                steps.take(map.len())?;
                let lists = map.iter().filter(|(word, _)| words.contain(word) != Certainty::No);
                found.extend(lists.flat_map(|(_, list)| list));
            }
        }
        steps.take(found.len())?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Declarations for an element.
    pub(super) fn style_of(
        &self,
        matcher: &Matcher<'_>,
        number: usize,
        steps: &mut Steps,
    ) -> Result<AddedStyle<'a>, TooManySteps> {
        let mut matches = Vec::new();
        for order in self.candidates(&matcher.tree.elements[number], steps)? {
            let IndexEntry { applied, selector } = &self.entries[order];
            let certainty = matcher.selects(selector, number, steps)?.min(applied.certainty);
            let certainty = certainty.unsure_if(applied.rule.has_code);
            if certainty != Certainty::No {
                steps.take(applied.rule.declarations.len())?;
                matches.push(Matched {
                    strength: (selector.specificity, order),
                    certainty,
                    applied: *applied,
                    is_conditional: applied.condition.is_some() || selector.is_dynamic,
                });
            }
        }
        matches.sort_unstable_by_key(|matched| std::cmp::Reverse(matched.strength));
        added(&matches, steps)
    }
}

/// Decides on the declarations, from the strongest match to the weakest.
fn added<'a>(matches: &[Matched<'a>], steps: &mut Steps) -> Result<AddedStyle<'a>, TooManySteps> {
    let (mut normal, mut important) = (Vec::new(), Vec::new());
    // Names that a stronger rule may declare. Inlined declarations would win over that rule.
    let mut kept_off: HashSet<&str> = HashSet::new();
    // Names and importance of stronger declarations.
    let mut decided: HashSet<(&str, bool)> = HashSet::new();
    for matched in matches.iter().filter(|matched| !matched.is_conditional) {
        let declarations = &matched.applied.rule.declarations;
        if matched.certainty == Certainty::Maybe {
            kept_off.extend(declarations.iter().filter(|one| !one.is_important).map(|one| one.name.as_str()));
            continue;
        }
        for declaration in declarations.iter().rev() {
            steps.take(1 + kept_off.len())?;
            if decided.contains(&(declaration.name.as_str(), declaration.is_important)) {
                continue;
            }
            if declaration.is_important {
                important.push(declaration);
            } else if !kept_off.iter().any(|name| overlap(name, &declaration.name)) {
                normal.push((matched.strength, declaration));
            }
        }
        let known = declarations.iter().filter(|one| is_widely_known(one));
        decided.extend(known.map(|one| (one.name.as_str(), one.is_important)));
    }
    normal.reverse();
    important.reverse();
    normal.retain(|(_, one)| !important.iter().any(|other: &&StyleDeclaration| other.name == one.name));
    let overridden = overridden(matches, &normal);
    Ok(AddedStyle { normal: normal.into_iter().map(|(_, one)| one).collect(), important, overridden })
}

/// A declaration with a condition that is weaker than an inlined one, and was not before.
fn overridden<'a>(matches: &[Matched<'a>], normal: &[(Strength, &StyleDeclaration)]) -> Option<(String, &'a str)> {
    let conditional = matches.iter().filter(|matched| matched.is_conditional && matched.certainty == Certainty::Yes);
    conditional.into_iter().find_map(|matched| {
        let declarations = matched.applied.rule.declarations.iter().filter(|one| !one.is_important);
        let name = declarations.map(|one| one.name.as_str()).find(|name| {
            normal.iter().any(|(strength, inlined)| *strength < matched.strength && overlap(&inlined.name, name))
        })?;
        let rule = &matched.applied.rule.shown;
        let shown =
            matched.applied.condition.map_or_else(|| rule.clone(), |condition| format!("{rule} in {condition}"));
        Some((shown, name))
    })
}

/// Whether programs that know the property know the value. Otherwise a weaker declaration of the
/// same property stays, for those that do not.
fn is_widely_known(declaration: &StyleDeclaration) -> bool {
    let value = &declaration.value;
    declaration.name != "display" && !value.contains('(') && !value.starts_with('-')
}

/// Whether two properties may set the same: one is a shorthand of the other.
fn overlap(one: &str, other: &str) -> bool {
    // `color-scheme` is no part of `color`.
    let is_shorthand = |short: &str, long: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || (rest.starts_with('-') && short != "color"))
    };
    is_shorthand(one, other)
        || is_shorthand(other, one)
        || [one, other].contains(&"all")
        || matches!((one, other), ("font", "line-height") | ("line-height", "font"))
        || (is_border_side(one) && is_border_aspect(other))
        || (is_border_aspect(one) && is_border_side(other))
}

fn is_border_side(name: &str) -> bool {
    ["border-top", "border-right", "border-bottom", "border-left", "border-block", "border-inline"]
        .iter()
        .any(|side| name.starts_with(side))
}

fn is_border_aspect(name: &str) -> bool {
    matches!(name, "border-color" | "border-style" | "border-width")
}

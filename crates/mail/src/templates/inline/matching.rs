//! Matching of selectors to the elements of a template's source.

use super::{
    certainty::Certainty,
    code::{TemplateCode, within},
    selector::{AttributeOperator, AttributeTest, Combinator, Compound, Condition, Selector},
    start_tag::TagAttribute,
    tree::{ElementTree, SourceElement},
};

/// Steps that may still be taken; a document that needs more is not inlined.
#[derive(Debug)]
pub(super) struct Steps(pub(super) usize);

/// The steps are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManySteps;

impl Steps {
    pub(super) fn take(&mut self, number: usize) -> Result<(), TooManySteps> {
        self.0 = self.0.checked_sub(number).ok_or(TooManySteps)?;
        Ok(())
    }
}

/// Elements of a source, against which selectors are matched.
pub(super) struct Matcher<'a> {
    pub(super) source: &'a str,
    pub(super) codes: &'a [TemplateCode<'a>],
    pub(super) tree: &'a ElementTree,
}

impl Matcher<'_> {
    /// Whether a selector selects an element.
    pub(super) fn selects(
        &self,
        selector: &Selector,
        element: usize,
        steps: &mut Steps,
    ) -> Result<Certainty, TooManySteps> {
        self.matches_from(selector, 0, element, steps)
    }

    /// Whether the compounds from a number on match an element and what is around it.
    fn matches_from(
        &self,
        selector: &Selector,
        number: usize,
        at: usize,
        steps: &mut Steps,
    ) -> Result<Certainty, TooManySteps> {
        steps.take(1)?;
        let element = &self.tree.elements[at];
        let own = self.compound(&selector.compounds[number], element).unsure_if(number > 0 && element.is_unsure);
        let Some(combinator) = selector.combinators.get(number).filter(|_| own != Certainty::No) else {
            return Ok(own);
        };
        let around = match combinator {
            Combinator::Child => self.parent(selector, number + 1, element, steps)?,
            Combinator::Descendant => self.ancestors(selector, number + 1, element, steps)?,
            Combinator::Next | Combinator::Later if self.has_varied_siblings(element) => Certainty::Maybe,
            Combinator::Next => match element.previous {
                Some(previous) => self.matches_from(selector, number + 1, previous, steps)?,
                None => Certainty::No,
            },
            Combinator::Later => self.earlier(selector, number + 1, element, steps)?,
        };
        Ok(own.min(around))
    }

    fn parent(
        &self,
        selector: &Selector,
        number: usize,
        element: &SourceElement,
        steps: &mut Steps,
    ) -> Result<Certainty, TooManySteps> {
        let Some(parent) = element.parent else { return Ok(Certainty::No) };
        let element = &self.tree.elements[parent];
        if element.is_open_ended || element.is_unsure {
            return Ok(Certainty::Maybe);
        }
        if parent == 0 { Ok(Certainty::No) } else { self.matches_from(selector, number, parent, steps) }
    }

    fn ancestors(
        &self,
        selector: &Selector,
        number: usize,
        element: &SourceElement,
        steps: &mut Steps,
    ) -> Result<Certainty, TooManySteps> {
        let (mut best, mut next) = (Certainty::No, element.parent);
        while let Some(at) = next {
            let ancestor = &self.tree.elements[at];
            if ancestor.is_open_ended {
                best = best.max(Certainty::Maybe);
            }
            if at > 0 {
                best = best.max(self.matches_from(selector, number, at, steps)?);
            }
            if best == Certainty::Yes {
                break;
            }
            next = ancestor.parent;
        }
        Ok(best)
    }

    fn earlier(
        &self,
        selector: &Selector,
        number: usize,
        element: &SourceElement,
        steps: &mut Steps,
    ) -> Result<Certainty, TooManySteps> {
        let (mut best, mut next) = (Certainty::No, element.previous);
        while let Some(at) = next
            && best != Certainty::Yes
        {
            best = best.max(self.matches_from(selector, number, at, steps)?);
            next = self.tree.elements[at].previous;
        }
        Ok(best)
    }

    fn has_varied_siblings(&self, element: &SourceElement) -> bool {
        element.parent.is_none_or(|parent| self.tree.elements[parent].is_varied)
    }

    fn compound(&self, compound: &Compound, element: &SourceElement) -> Certainty {
        let named = match &compound.name {
            Some(_) if element.name.is_empty() => Certainty::Maybe,
            Some(name) => Certainty::of(*name == element.name),
            None => Certainty::Yes,
        };
        compound.conditions.iter().fold(named, |all, condition| match all {
            Certainty::No => all,
            Certainty::Maybe | Certainty::Yes => all.min(self.condition(condition, element)),
        })
    }

    fn condition(&self, condition: &Condition, element: &SourceElement) -> Certainty {
        match condition {
            Condition::Class(class) => element.classes.contain(class),
            Condition::Id(id) => element.id.contain(id),
            Condition::Attribute(test) => self.attribute(test, element),
            Condition::Nth { .. } if self.has_varied_siblings(element) => Certainty::Maybe,
            Condition::Nth { a, b, from_last } => {
                let position = if *from_last { self.position_from_last(element) } else { element.position };
                Certainty::of(is_nth(*a, *b, position))
            }
            Condition::Empty => Certainty::Maybe,
            Condition::Root => Certainty::of(element.name == "html"),
            Condition::Is(list) => self.any(list, element),
            Condition::Not(list) => self.any(list, element).not(),
            Condition::Undecided => Certainty::Maybe,
        }
    }

    fn any(&self, list: &[Compound], element: &SourceElement) -> Certainty {
        list.iter().map(|compound| self.compound(compound, element)).max().unwrap_or(Certainty::No)
    }

    fn position_from_last(&self, element: &SourceElement) -> usize {
        let children = element.parent.map_or(0, |parent| self.tree.elements[parent].children);
        (children + 1).saturating_sub(element.position)
    }

    fn attribute(&self, test: &AttributeTest, element: &SourceElement) -> Certainty {
        let Some(tag) = &element.tag else { return Certainty::No };
        match tag.attribute(&test.name) {
            Some(attribute) => self.value(test, attribute).unsure_if(attribute.is_conditional || tag.is_open_ended),
            None if tag.is_open_ended => Certainty::Maybe,
            None => Certainty::No,
        }
    }

    fn value(&self, test: &AttributeTest, attribute: &TagAttribute) -> Certainty {
        let range = attribute.value.clone().unwrap_or_default();
        let value = &self.source[range.clone()];
        if test.operator == AttributeOperator::Exists {
            return Certainty::Yes;
        }
        if value.contains('&') || !within(self.codes, &range).is_empty() {
            return Certainty::Maybe;
        }
        Certainty::of(match test.ignores_case {
            true => is_value(test.operator, &value.to_ascii_lowercase(), &test.value.to_ascii_lowercase()),
            false => is_value(test.operator, value, &test.value),
        })
    }
}

fn is_value(operator: AttributeOperator, value: &str, wanted: &str) -> bool {
    match operator {
        AttributeOperator::Exists => true,
        AttributeOperator::Equals => value == wanted,
        AttributeOperator::HasWord => value.split_ascii_whitespace().any(|word| word == wanted),
        AttributeOperator::HasPrefixWord => {
            value.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        }
        AttributeOperator::StartsWith => !wanted.is_empty() && value.starts_with(wanted),
        AttributeOperator::EndsWith => !wanted.is_empty() && value.ends_with(wanted),
        AttributeOperator::Contains => !wanted.is_empty() && value.contains(wanted),
    }
}

/// Whether a position is `a * n + b` for some n from 0 on.
fn is_nth(a: i32, b: i32, position: usize) -> bool {
    let (a, difference) = (i64::from(a), position as i64 - i64::from(b));
    if a == 0 { difference == 0 } else { difference % a == 0 && difference / a >= 0 }
}

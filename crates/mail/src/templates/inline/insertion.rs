//! Writing of declarations into `style` attributes. Nothing is removed from the source, and nothing
//! else is added to it.

use std::fmt::Write;

use super::{cascade::AddedStyle, sheet::StyleDeclaration, start_tag::StartTag};

/// Text added at a position of a source.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Insertion {
    pub(super) at: usize,
    pub(super) text: String,
}

/// Insertions that give an element a style. An attribute that exists keeps its text, between the
/// weaker and the stronger declarations that are added. `None` if it can't be extended.
pub(super) fn insertions(source: &str, tag: &StartTag, style: &AddedStyle<'_>) -> Option<Vec<Insertion>> {
    let insert = |at, text| Insertion { at, text };
    let Some(attribute) = tag.attribute("style") else {
        let at = if tag.has_code { tag.name_end } else { tag.last_end };
        return Some(vec![insert(
            at,
            format!(" style=\"{}{}\"", list(&style.normal, b'"'), list(&style.important, b'"')),
        )]);
    };
    let Some(value) = &attribute.value else {
        let text = format!("=\"{}{}\"", list(&style.normal, b'"'), list(&style.important, b'"'));
        return Some(vec![insert(attribute.name_end, text)]);
    };
    let quote = attribute.quote.unwrap_or(b'"');
    let mut before = list(&style.normal, quote);
    let mut after = String::new();
    if !style.important.is_empty() {
        after.push(';');
        after.push_str(&list(&style.important, quote));
    }
    if attribute.quote.is_none() {
        if source[value.clone()].contains(['"', '{']) {
            return None;
        }
        before.insert(0, '"');
        after.push('"');
    }
    let both = [insert(value.start, before), insert(value.end, after)];
    Some(both.into_iter().filter(|insertion| !insertion.text.is_empty()).collect())
}

/// Declarations, each with its end.
fn list(declarations: &[&StyleDeclaration], quote: u8) -> String {
    declarations.iter().fold(String::new(), |mut text, declaration| {
        let _ = write!(text, "{}: {};", declaration.name, attribute_text(&declaration.value, quote));
        text
    })
}

/// A value as it is written in an attribute. Strings take the other kind of quote where they can.
fn attribute_text(value: &str, quote: u8) -> String {
    let (own, other, entity) = if quote == b'"' { ('"', '\'', "&quot;") } else { ('\'', '"', "&#39;") };
    let value = value.replace('&', "&amp;");
    if value.contains(own) && !value.contains([other, '\\']) {
        return value.replace(own, &other.to_string());
    }
    value.replace(own, entity)
}

/// The source with all insertions, which are in order.
pub(super) fn inserted(source: &str, insertions: &[Insertion]) -> String {
    let (mut text, mut at) = (String::with_capacity(source.len()), 0);
    for insertion in insertions {
        text.push_str(&source[at..insertion.at]);
        text.push_str(&insertion.text);
        at = insertion.at;
    }
    text + &source[at..]
}

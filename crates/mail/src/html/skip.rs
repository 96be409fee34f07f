//! Content that is not shown.

use html5ever::{Attribute, LocalName, tokenizer::Tag};

/// Elements that are never shown.
const UNSEEN: [&str; 10] =
    ["style", "script", "title", "template", "svg", "math", "iframe", "object", "datalist", "noembed"];
/// Elements that end implicitly where another of their kind begins, or where their container ends.
const IMPLIED: [&str; 11] = ["p", "li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "option"];
/// Containers of such elements.
const HOLDERS: [&str; 7] = ["ul", "ol", "dl", "table", "select", "menu", "datalist"];
const VOID: [&str; 13] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];

/// Hidden element while its content is read.
#[derive(Debug)]
pub(super) struct Skip {
    name: LocalName,
    /// Number of open elements of the same name.
    depth: usize,
    /// Number of open containers within it.
    holders: usize,
}

/// Position of a tag relative to a hidden element.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// Inside it.
    Within,
    /// Its end tag.
    End,
    /// After its end.
    Beyond,
}

impl Skip {
    /// Returns the element that starts with this tag if it is hidden.
    pub(super) fn from(tag: &Tag) -> Option<Self> {
        let is_unseen = UNSEEN.contains(&&*tag.name) || (is_hidden(&tag.attrs) && !VOID.contains(&&*tag.name));
        // Self-closing tags exist only in SVG and MathML.
        let is_empty = tag.self_closing && ["svg", "math"].contains(&&*tag.name);
        (is_unseen && !is_empty).then(|| Self { name: tag.name.clone(), depth: 1, holders: 0 })
    }

    /// Processes a start tag.
    pub(super) fn start(&mut self, name: &LocalName) -> Passed {
        if self.ends_by_itself() && self.holders == 0 && self.is_ended_by(name) {
            return Passed::Beyond;
        }
        self.holders += usize::from(HOLDERS.contains(&&**name));
        self.depth += usize::from(*name == self.name);
        Passed::Within
    }

    /// Processes an end tag.
    pub(super) fn end(&mut self, name: &LocalName) -> Passed {
        if *name == self.name && (self.holders == 0 || !self.ends_by_itself()) {
            self.depth -= 1;
            return if self.depth == 0 { Passed::End } else { Passed::Within };
        }
        if HOLDERS.contains(&&**name) {
            if self.holders == 0 && self.ends_by_itself() {
                return Passed::Beyond;
            }
            self.holders = self.holders.saturating_sub(1);
        }
        Passed::Within
    }

    fn ends_by_itself(&self) -> bool {
        IMPLIED.contains(&&*self.name)
    }

    fn is_ended_by(&self, name: &LocalName) -> bool {
        match &*self.name {
            "p" => is_block(name),
            "dt" | "dd" => matches!(&**name, "dt" | "dd"),
            "td" | "th" => matches!(&**name, "td" | "th" | "tr" | "tbody" | "tfoot"),
            "tr" => matches!(&**name, "tr" | "tbody" | "tfoot"),
            _ => *name == self.name,
        }
    }
}

/// Whether an element starts a new line.
pub(super) fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "caption"
            | "center"
            | "details"
            | "dialog"
            | "dd"
            | "div"
            | "dl"
            | "dt"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "header"
            | "hgroup"
            | "hr"
            | "legend"
            | "li"
            | "listing"
            | "main"
            | "menu"
            | "nav"
            | "ol"
            | "option"
            | "p"
            | "pre"
            | "section"
            | "select"
            | "summary"
            | "table"
            | "tbody"
            | "td"
            | "tfoot"
            | "th"
            | "thead"
            | "tr"
            | "ul"
            | "xmp"
    )
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &*attribute.name.local {
        "hidden" => true,
        "style" => hides(&attribute.value),
        _ => false,
    })
}

fn hides(style: &str) -> bool {
    let is = |text: &str, word: &str| text.trim().eq_ignore_ascii_case(word);
    style.split(';').filter_map(|declaration| declaration.split_once(':')).any(|(property, value)| {
        let value = value.split('!').next().unwrap_or_default();
        is(property, "display") && is(value, "none") || is(property, "visibility") && is(value, "hidden")
    })
}

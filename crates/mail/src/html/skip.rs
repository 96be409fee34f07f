//! What is in a document and not shown.

use html5ever::{Attribute, LocalName, tokenizer::Tag};

/// Elements that a reader does not see.
const UNSEEN: [&str; 10] =
    ["style", "script", "title", "template", "svg", "math", "iframe", "object", "datalist", "noembed"];
/// Elements that end without an end tag where another of them begins, or where what holds them ends.
const IMPLIED: [&str; 11] = ["p", "li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "option"];
/// What holds such elements.
const HOLDERS: [&str; 7] = ["ul", "ol", "dl", "table", "select", "menu", "datalist"];
const VOID: [&str; 13] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];

/// An element that is not shown, while it is read.
#[derive(Debug)]
pub(super) struct Skip {
    name: LocalName,
    /// How many elements of its name are open.
    depth: usize,
    /// How many lists, tables and the like are open within it.
    holders: usize,
}

/// What a tag is to an element that is not shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// A part of it.
    Within,
    /// Its own end.
    End,
    /// It has ended before.
    Beyond,
}

impl Skip {
    /// The element that begins with this tag, if it is not shown.
    pub(super) fn from(tag: &Tag) -> Option<Self> {
        let is_unseen = UNSEEN.contains(&&*tag.name) || (is_hidden(&tag.attrs) && !VOID.contains(&&*tag.name));
        // A self-closing tag is one only in SVG and MathML.
        let is_empty = tag.self_closing && ["svg", "math"].contains(&&*tag.name);
        (is_unseen && !is_empty).then(|| Self { name: tag.name.clone(), depth: 1, holders: 0 })
    }

    /// At a start tag.
    pub(super) fn start(&mut self, name: &LocalName) -> Passed {
        if self.ends_by_itself() && self.holders == 0 && self.is_ended_by(name) {
            return Passed::Beyond;
        }
        self.holders += usize::from(HOLDERS.contains(&&**name));
        self.depth += usize::from(*name == self.name);
        Passed::Within
    }

    /// At an end tag.
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

/// Whether an element begins a line of its own.
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

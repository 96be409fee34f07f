//! Size and depth of a document, measured before a tree of it is built.

use std::{cell::RefCell, collections::HashMap};

use html5ever::{
    LocalName,
    tokenizer::{TagKind, Token, TokenSink, TokenSinkResult},
};

use super::{Reader, raw, read};

/// Elements that a parser closes where the next of their kind begins. They increase the depth only
/// together with other elements.
const FLAT: [&str; 12] = ["p", "li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "option", "colgroup"];
const VOID: [&str; 13] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];

/// Maximum number of elements that are counted.
const MOST: usize = 100_000;

/// The size of a document's tree.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Number of elements.
    pub(crate) elements: usize,
    /// Upper bound on the nesting depth. Elements that end implicitly are not counted, so the tree
    /// may be up to four times as deep.
    pub(crate) depth: usize,
}

#[derive(Debug, Default)]
struct ShapeReader(RefCell<OpenElements>);

/// Open elements by name. Their number is an upper bound on the depth of the tree.
#[derive(Debug, Default)]
struct OpenElements {
    shape: Shape,
    number: usize,
    names: HashMap<LocalName, usize>,
}

impl Shape {
    /// Measures a document from its tags.
    pub(crate) fn of(html: &str) -> Self {
        read(html, ShapeReader::default()).0.into_inner().shape
    }
}

impl Reader for ShapeReader {
    fn is_done(&self) -> bool {
        self.0.borrow().shape.elements > MOST
    }
}

impl TokenSink for ShapeReader {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let Token::TagToken(tag) = token else { return TokenSinkResult::Continue };
        let mut open = self.0.borrow_mut();
        match tag.kind {
            TagKind::EndTag => open.end(&tag.name),
            TagKind::StartTag => {
                open.start(&tag.name);
                return raw::after(&tag.name);
            }
        }
        TokenSinkResult::Continue
    }
}

impl OpenElements {
    fn start(&mut self, name: &LocalName) {
        self.shape.elements += 1;
        if !FLAT.contains(&&**name) && !VOID.contains(&&**name) {
            self.number += 1;
            self.shape.depth = self.shape.depth.max(self.number);
            *self.names.entry(name.clone()).or_default() += 1;
        }
    }

    /// Counts an end tag; one without a matching start tag is ignored.
    fn end(&mut self, name: &LocalName) {
        if let Some(open) = self.names.get_mut(name).filter(|open| **open > 0) {
            *open -= 1;
            self.number -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_never_underestimated() {
        for (html, elements, depth) in [
            ("", 0, 0),
            ("<div><p>a<p>b<br><p>c</div><div></div>", 6, 1),
            ("<b a=1></x></i><b a=2></x>", 2, 2),
            ("<b><i></b></i>", 2, 2),
            ("<title><b></title><style><b></style><!--<b>-->", 2, 1),
            ("<ul><li><ul><li></ul></ul>", 4, 2),
        ] {
            assert_eq!(Shape::of(html), Shape { elements, depth }, "{html}");
        }
    }
}

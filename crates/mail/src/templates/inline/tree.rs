//! Tree of the elements in a template's source, with what is known of each.

use std::collections::BTreeSet;

use super::{
    code::{CodeKind, TemplateCode},
    markup::Markup,
    start_tag::StartTag,
    words::AttributeWords,
};
use crate::html::{LocalName, OpenElements, is_void};

/// Maximum nesting of elements, as in browsers.
pub(super) const DEEPEST: usize = 512;

/// Elements that end by themselves where what contains them ends, or the next one starts.
const ENDING: [&str; 11] = ["dd", "dt", "li", "option", "p", "tbody", "td", "tfoot", "th", "thead", "tr"];
/// Elements before the body of a page.
const OF_HEAD: [&str; 11] =
    ["base", "body", "frameset", "head", "link", "meta", "noscript", "script", "style", "template", "title"];

/// Elements by number. The first one stands for what contains the source.
#[derive(Debug)]
pub(super) struct ElementTree {
    pub(super) elements: Vec<SourceElement>,
}

/// Element of a template's source.
#[derive(Debug, Default)]
pub(super) struct SourceElement {
    /// Name in lower case; empty if template code writes a part of it.
    pub(super) name: String,
    /// Start tag; `None` if a parser inserts it.
    pub(super) tag: Option<StartTag>,
    pub(super) parent: Option<usize>,
    pub(super) previous: Option<usize>,
    /// Position among its siblings, from 1, and number of elements in it.
    pub(super) position: usize,
    pub(super) children: usize,
    pub(super) classes: AttributeWords,
    pub(super) id: AttributeWords,
    /// Whether it may not contain all that follows it in the source: it starts in a template branch
    /// that ends before the element does.
    pub(super) is_unsure: bool,
    /// Whether its content may have further ancestors between it and this one.
    pub(super) is_open_ended: bool,
    /// Whether template code decides on the elements in it.
    pub(super) is_varied: bool,
    last_child: Option<usize>,
}

/// Position of an element that is nested too deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooDeep(pub(super) usize);

/// Builds the tree. `is_part`: other files may contain the source.
pub(super) fn tree(
    source: &str,
    codes: &[TemplateCode<'_>],
    markup: Vec<Markup>,
    is_part: bool,
) -> Result<ElementTree, TooDeep> {
    let root = SourceElement { is_open_ended: is_part, is_varied: is_part, ..SourceElement::default() };
    let tree = ElementTree { elements: vec![root] };
    let mut builder =
        TreeBuilder { source, codes, tree, open: OpenElements::default(), branches: Vec::new(), left: BTreeSet::new() };
    for part in markup {
        builder.add(part)?;
    }
    Ok(builder.tree)
}

struct TreeBuilder<'a> {
    source: &'a str,
    codes: &'a [TemplateCode<'a>],
    tree: ElementTree,
    open: OpenElements<usize>,
    /// Number of open elements at the start of each open template branch.
    branches: Vec<usize>,
    /// Elements that a branch left open, and that usually end by themselves.
    left: BTreeSet<usize>,
}

impl TreeBuilder<'_> {
    fn add(&mut self, part: Markup) -> Result<(), TooDeep> {
        match part {
            Markup::Start(tag) => return self.start(tag),
            Markup::End(name) => {
                self.open.end(&name);
                self.close_branches();
            }
            Markup::Code(number) => self.code(self.codes[number].kind),
            Markup::Odd => self.odd(),
            Markup::Css(_) => {}
        }
        Ok(())
    }

    fn start(&mut self, tag: StartTag) -> Result<(), TooDeep> {
        self.open.before(&tag.name);
        self.close_branches();
        self.close_left();
        let parent = self.open.last().map(|(name, _)| &**name);
        let implied = match (parent, tag.name.as_str()) {
            (Some("table"), "tr") => Some("tbody"),
            (Some("html"), name) if !OF_HEAD.contains(&name) => Some("body"),
            _ => None,
        };
        if let Some(name) = implied {
            // Code that stood in the parent is in this element.
            let is_varied = self.tree.elements[self.innermost()].is_varied;
            self.push(SourceElement { name: name.to_owned(), is_varied, ..SourceElement::default() });
        }
        let at = tag.at;
        let (classes, id) = (self.words(&tag, "class"), self.words(&tag, "id"));
        self.push(SourceElement { name: tag.name.clone(), tag: Some(tag), classes, id, ..SourceElement::default() });
        if self.open.len() > DEEPEST { Err(TooDeep(at)) } else { Ok(()) }
    }

    fn push(&mut self, mut element: SourceElement) {
        let (number, parent) = (self.tree.elements.len(), self.innermost());
        element.parent = Some(parent);
        element.previous = self.tree.elements[parent].last_child.replace(number);
        self.tree.elements[parent].children += 1;
        element.position = self.tree.elements[parent].children;
        let is_closed = element.tag.as_ref().is_some_and(|tag| tag.is_self_closing && is_foreign(&tag.name));
        let name = LocalName::from(element.name.as_str());
        self.tree.elements.push(element);
        if !is_void(&name) && !is_closed {
            self.open.push(name, number);
        }
    }

    fn words(&self, tag: &StartTag, name: &str) -> AttributeWords {
        match tag.attribute(name).map(|attribute| (attribute, &attribute.value)) {
            Some((attribute, Some(value))) => {
                AttributeWords::of(self.source, value, self.codes, attribute.is_conditional)
            }
            Some((_, None)) => AttributeWords::default(),
            None if tag.is_open_ended => AttributeWords::unknown(),
            None => AttributeWords::default(),
        }
    }

    /// Number of the innermost open element.
    fn innermost(&self) -> usize {
        self.open.last().map_or(0, |(_, number)| *number)
    }

    fn code(&mut self, kind: CodeKind<'_>) {
        match kind {
            CodeKind::Opens | CodeKind::Block(_) => {
                self.vary();
                self.branches.push(self.open.len());
            }
            CodeKind::Divides => {
                self.end_branch();
                self.vary();
            }
            CodeKind::Closes => {
                self.end_branch();
                self.branches.pop();
                self.vary();
            }
            CodeKind::Include(_) | CodeKind::Prints { is_html: true } => self.vary(),
            CodeKind::Prints { is_html: false }
            | CodeKind::Extends(_)
            | CodeKind::Comment(_)
            | CodeKind::OpenComment
            | CodeKind::Silent => {}
        }
    }

    fn vary(&mut self) {
        let innermost = self.innermost();
        self.tree.elements[innermost].is_varied = true;
    }

    fn odd(&mut self) {
        self.vary();
        let innermost = self.innermost();
        self.tree.elements[innermost].is_open_ended = true;
    }

    /// Elements that were opened in the branch and do not end in it may be missing around what
    /// follows.
    fn end_branch(&mut self) {
        let Some(depth) = self.branches.last().copied() else { return };
        for (name, number) in self.open.from(depth) {
            if ENDING.contains(&&**name) {
                self.left.insert(*number);
            } else {
                self.tree.elements[*number].is_unsure = true;
            }
        }
    }

    /// Handles elements that a branch left open and that have not ended where an element starts.
    fn close_left(&mut self) {
        for number in std::mem::take(&mut self.left) {
            self.tree.elements[number].is_unsure |= self.open.from(0).any(|(_, open)| *open == number);
        }
    }

    /// Handles elements that ended in a branch and began before it: they may contain what follows.
    fn close_branches(&mut self) {
        let depth = self.open.len();
        let outer = self.branches.iter().rposition(|start| *start <= depth).map_or(0, |last| last + 1);
        if outer < self.branches.len() {
            self.branches[outer..].fill(depth);
            self.odd();
        }
    }
}

/// Whether a self-closing tag closes an element: in SVG, MathML and Microsoft's own elements.
fn is_foreign(name: &str) -> bool {
    name.contains(':') || ["svg", "math", "path", "circle", "rect", "line", "g", "use"].contains(&name)
}

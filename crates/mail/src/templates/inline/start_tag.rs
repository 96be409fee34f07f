//! Start tags in a template's source.

use std::ops::Range;

use super::code::CodeKind;

/// Maximum number of attributes of a tag; an element with more of them is left alone.
const MOST_ATTRIBUTES: usize = 48;

/// Start tag. Positions are those of the source.
#[derive(Debug)]
pub(super) struct StartTag {
    /// Name in lower case; empty if template code writes a part of it.
    pub(super) name: String,
    pub(super) at: usize,
    pub(super) name_end: usize,
    /// End of the last attribute, or of the name.
    pub(super) last_end: usize,
    pub(super) attributes: Vec<TagAttribute>,
    /// Whether there is template code between the attributes.
    pub(super) has_code: bool,
    /// Whether template code may write further attributes.
    pub(super) is_open_ended: bool,
    pub(super) is_self_closing: bool,
}

/// Attribute of a start tag.
#[derive(Debug)]
pub(super) struct TagAttribute {
    /// Name in lower case.
    pub(super) name: String,
    pub(super) name_end: usize,
    /// The value, without quotes.
    pub(super) value: Option<Range<usize>>,
    pub(super) quote: Option<u8>,
    /// Whether template code decides if it is written.
    pub(super) is_conditional: bool,
}

impl StartTag {
    pub(super) fn attribute(&self, name: &str) -> Option<&TagAttribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

/// Start tag being read, with the depth of template branches in it.
pub(super) struct TagReader {
    pub(super) tag: StartTag,
    pub(super) depth: usize,
    /// Codes between attributes whose branches do not end in the tag.
    unbalanced: Vec<usize>,
}

impl TagReader {
    pub(super) fn new(tag: StartTag) -> Self {
        Self { tag, depth: 0, unbalanced: Vec::new() }
    }

    pub(super) fn code(&mut self, number: usize, kind: CodeKind<'_>) {
        self.tag.has_code = true;
        self.code_in_value(number, kind);
        self.tag.is_open_ended |= matches!(kind, CodeKind::Prints { .. } | CodeKind::Include(_) | CodeKind::Block(_));
    }

    pub(super) fn code_in_value(&mut self, number: usize, kind: CodeKind<'_>) {
        match kind {
            CodeKind::Opens | CodeKind::Block(_) => {
                self.depth += 1;
                self.unbalanced.push(number);
            }
            CodeKind::Closes => match self.depth.checked_sub(1) {
                Some(depth) => {
                    self.depth = depth;
                    self.unbalanced.pop();
                }
                None => {
                    self.tag.is_open_ended = true;
                    self.unbalanced.push(number);
                }
            },
            CodeKind::Divides => self.tag.is_open_ended |= self.depth == 0,
            CodeKind::Prints { .. }
            | CodeKind::Include(_)
            | CodeKind::Extends(_)
            | CodeKind::Comment(_)
            | CodeKind::OpenComment
            | CodeKind::Silent => {}
        }
    }

    pub(super) fn add(&mut self, attribute: TagAttribute) {
        if self.tag.attributes.len() < MOST_ATTRIBUTES {
            self.tag.attributes.push(attribute);
        } else {
            self.tag.is_open_ended = true;
        }
    }

    /// The tag, and the codes whose branches go on after it.
    pub(super) fn end(mut self) -> (StartTag, Vec<usize>) {
        self.tag.is_open_ended |= self.depth > 0;
        (self.tag, self.unbalanced)
    }
}

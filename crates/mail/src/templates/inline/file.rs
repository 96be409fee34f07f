//! Template file: its code, its markup, and the style sheets in it.

use std::collections::BTreeSet;

use super::{
    certainty::Certainty,
    code::{CodeKind, TemplateCode, codes, within},
    markup::{Markup, scan},
    sheet::{StyleRule, parse_sheet},
    start_tag::StartTag,
};

/// Attribute of a `style` element or another element that is not inlined. Other tools use it too.
const IGNORED: &str = "data-css-inline";

/// File of the templates folder.
#[derive(Debug)]
pub(super) struct SourceFile<'a> {
    pub(super) source: &'a str,
    pub(super) codes: Vec<TemplateCode<'a>>,
    /// Its style sheets and the files it includes, in order.
    pub(super) parts: Vec<SheetPart<'a>>,
    pub(super) extends: Option<&'a str>,
    /// Names of the blocks that it defines.
    pub(super) blocks: BTreeSet<&'a str>,
    /// Whether it uses the content of a block that it replaces.
    pub(super) uses_super: bool,
}

/// Style sheet or included file.
#[derive(Debug)]
pub(super) struct SheetPart<'a> {
    pub(super) content: SheetContent<'a>,
    /// Whether it is in each rendering of the file.
    pub(super) certainty: Certainty,
    /// The innermost block around it.
    pub(super) block: Option<&'a str>,
}

#[derive(Debug)]
pub(super) enum SheetContent<'a> {
    Rules {
        rules: Vec<StyleRule>,
        /// Condition of the `media` attribute.
        media: Option<String>,
    },
    Include(&'a str),
}

/// Fault of a template comment that begins in a style sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SheetComment {
    /// A comment that ends after its style sheet, with its position.
    BeyondEnd(usize),
    /// A comment that contains rules, with its position.
    WithRules(usize),
}

impl<'a> SourceFile<'a> {
    pub(super) fn of(source: &'a str) -> Self {
        let codes = codes(source);
        let parts = PartReader::read(source, &codes);
        let extends = codes.iter().find_map(|code| match code.kind {
            CodeKind::Extends(name) => Some(name),
            _ => None,
        });
        let blocks = codes.iter().filter_map(|code| match code.kind {
            CodeKind::Block(name) => Some(name),
            _ => None,
        });
        let blocks = blocks.collect();
        Self { source, parts, extends, blocks, uses_super: source.contains("super()"), codes }
    }

    /// Files that are part of this one.
    pub(super) fn references(&self) -> impl Iterator<Item = &'a str> {
        let included = self.codes.iter().filter_map(|code| match code.kind {
            CodeKind::Include(name) => Some(name),
            _ => None,
        });
        included.chain(self.extends)
    }

    /// Line of a position, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        1 + self.source[..at].matches('\n').count()
    }

    /// Template comments in style sheets that were probably not meant to be comments.
    pub(super) fn sheet_comments(&self) -> Vec<SheetComment> {
        let sheets = scan(self.source, &self.codes).into_iter().filter_map(|part| match part {
            Markup::Css(range) => Some(range),
            _ => None,
        });
        let codes = sheets.flat_map(|range| within(&self.codes, &range));
        let faults = codes.filter_map(|code| match code.kind {
            CodeKind::OpenComment => Some(SheetComment::BeyondEnd(code.range.start)),
            CodeKind::Comment(text) if text.to_ascii_lowercase().contains("</style") => {
                Some(SheetComment::BeyondEnd(code.range.start))
            }
            CodeKind::Comment(text) if text[2..text.len() - 2].contains(['{', '}']) => {
                Some(SheetComment::WithRules(code.range.start))
            }
            _ => None,
        });
        faults.collect()
    }
}

/// Whether a tag is marked to be left alone.
pub(super) fn is_ignored(source: &str, tag: &StartTag) -> bool {
    let value = tag.attribute(IGNORED).and_then(|attribute| attribute.value.clone());
    value.is_some_and(|value| source[value].eq_ignore_ascii_case("ignore"))
}

/// Reader of the style sheets in a source.
struct PartReader<'s, 'a> {
    source: &'a str,
    codes: &'s [TemplateCode<'a>],
    /// Open template blocks: the name of a block, or `None` for a branch.
    open: Vec<Option<&'a str>>,
    sheet: Option<Sheet>,
    parts: Vec<SheetPart<'a>>,
}

/// Attributes of a `style` element.
struct Sheet {
    certainty: Certainty,
    media: Option<String>,
}

impl<'a> PartReader<'_, 'a> {
    fn read(source: &'a str, codes: &[TemplateCode<'a>]) -> Vec<SheetPart<'a>> {
        let mut reader = PartReader { source, codes, open: Vec::new(), sheet: None, parts: Vec::new() };
        for part in scan(source, codes) {
            reader.add(&part);
        }
        reader.parts
    }

    fn add(&mut self, part: &Markup) {
        match part {
            Markup::Start(tag) if tag.name == "style" => self.sheet = self.sheet(tag),
            Markup::Css(range) => {
                if let Some(sheet) = self.sheet.take() {
                    let (css, is_fixed) = self.css(range.clone());
                    let content = SheetContent::Rules { rules: parse_sheet(&css), media: sheet.media };
                    self.push(content, sheet.certainty.unsure_if(!is_fixed));
                }
            }
            Markup::Code(number) => match self.codes[*number].kind {
                CodeKind::Opens => self.open.push(None),
                CodeKind::Block(name) => self.open.push(Some(name)),
                CodeKind::Closes => drop(self.open.pop()),
                CodeKind::Include(name) => self.push(SheetContent::Include(name), Certainty::Yes),
                CodeKind::Divides
                | CodeKind::Prints { .. }
                | CodeKind::Extends(_)
                | CodeKind::Comment(_)
                | CodeKind::OpenComment
                | CodeKind::Silent => {}
            },
            Markup::Start(_) | Markup::End(_) | Markup::Odd => {}
        }
    }

    fn push(&mut self, content: SheetContent<'a>, certainty: Certainty) {
        let certainty = certainty.unsure_if(self.open.contains(&None));
        let block = self.open.iter().rev().find_map(|open| *open);
        self.parts.push(SheetPart { content, certainty, block });
    }

    /// Returns `None` for a style sheet in another language.
    fn sheet(&self, tag: &StartTag) -> Option<Sheet> {
        let value = |name: &str| {
            let range = tag.attribute(name)?.value.clone()?;
            Some((&self.source[range.clone()], within(self.codes, &range).is_empty()))
        };
        if value("type").is_some_and(|(kind, _)| !kind.is_empty() && !kind.trim().eq_ignore_ascii_case("text/css")) {
            return None;
        }
        let (media, is_fixed) = value("media").unwrap_or(("", true));
        let media = (is_fixed && !is_for_screens(media)).then(|| format!("<style media=\"{}\">", media.trim()));
        let is_sure = is_fixed && !tag.is_open_ended && !is_ignored(self.source, tag);
        Some(Sheet { certainty: Certainty::Yes.unsure_if(!is_sure), media })
    }

    /// Content of a style sheet, and whether it is the same in each rendering.
    fn css(&self, range: std::ops::Range<usize>) -> (String, bool) {
        let (mut css, mut is_fixed, mut at) = (String::new(), true, range.start);
        for code in within(self.codes, &range) {
            css.push_str(&self.source[at..code.range.start]);
            at = code.range.end;
            match code.kind {
                CodeKind::Comment(_) | CodeKind::Silent | CodeKind::Extends(_) | CodeKind::OpenComment => {}
                // A name is valid in most places.
                CodeKind::Prints { .. } => {
                    css.push('x');
                    is_fixed = false;
                }
                CodeKind::Opens | CodeKind::Block(_) | CodeKind::Divides | CodeKind::Closes | CodeKind::Include(_) => {
                    css.push(' ');
                    is_fixed = false;
                }
            }
        }
        css.push_str(self.source.get(at..range.end).unwrap_or_default());
        (css, is_fixed)
    }
}

/// Whether a `media` attribute is for all readers at a screen.
fn is_for_screens(media: &str) -> bool {
    media.trim().is_empty()
        || media.split(',').any(|one| ["all", "screen"].iter().any(|name| one.trim().eq_ignore_ascii_case(name)))
}

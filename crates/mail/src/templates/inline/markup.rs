//! Scanner of the HTML in a template's source. Template code is passed over wherever it stands.

use std::ops::Range;

use memchr::memchr;

use super::{
    code::{CodeKind, TemplateCode},
    start_tag::{StartTag, TagAttribute, TagReader},
};
use crate::html::is_raw;

/// Part of the markup, in the order of the source.
#[derive(Debug)]
pub(super) enum Markup {
    Start(StartTag),
    /// End tag with its name, as in [`StartTag`].
    End(String),
    /// Content of a `style` element.
    Css(Range<usize>),
    /// Template code outside of tags, by its number.
    Code(usize),
    /// Tag whose whole name is written by template code.
    Odd,
}

/// Scans a source. The result takes linear time and no stack.
pub(super) fn scan(source: &str, codes: &[TemplateCode<'_>]) -> Vec<Markup> {
    let mut scanner = Scanner { source, bytes: source.as_bytes(), codes, next: 0, at: 0, markup: Vec::new() };
    scanner.run();
    scanner.markup
}

struct Scanner<'a> {
    source: &'a str,
    bytes: &'a [u8],
    codes: &'a [TemplateCode<'a>],
    /// Number of the next code.
    next: usize,
    at: usize,
    markup: Vec<Markup>,
}

impl Scanner<'_> {
    fn run(&mut self) {
        while self.at < self.bytes.len() {
            match self.find(b'<') {
                Some(at) => {
                    self.at = at;
                    self.angle();
                }
                None => self.pass_to_code(),
            }
        }
    }

    /// Position of a byte before the next code.
    fn find(&self, byte: u8) -> Option<usize> {
        memchr(byte, self.bytes.get(self.at..self.code_at())?).map(|found| self.at + found)
    }

    /// Start of the next code, or the end of the source.
    fn code_at(&self) -> usize {
        self.codes.get(self.next).map_or(self.bytes.len(), |code| code.range.start)
    }

    /// Passes over the code at this position, if there is one. Returns its number.
    fn pass_code(&mut self) -> Option<usize> {
        let code = self.codes.get(self.next).filter(|code| code.range.start == self.at)?;
        self.at = code.range.end;
        self.next += 1;
        Some(self.next - 1)
    }

    /// Passes over everything up to the next code, and over this code, which is recorded.
    fn pass_to_code(&mut self) {
        self.at = self.code_at();
        if let Some(number) = self.pass_code() {
            self.markup.push(Markup::Code(number));
        }
    }

    /// Passes up to the end of a delimiter that starts with a byte.
    fn pass_until(&mut self, byte: u8, is_end: impl Fn(&[u8]) -> bool) {
        while self.at < self.bytes.len() {
            match self.find(byte) {
                Some(at) => {
                    self.at = at + 1;
                    if is_end(&self.bytes[..self.at]) {
                        return;
                    }
                }
                None => self.pass_to_code(),
            }
        }
    }

    fn angle(&mut self) {
        let is_code = |at: usize| self.code_at() == at && at < self.bytes.len();
        match self.bytes[self.at + 1..] {
            _ if is_code(self.at + 1) => self.odd(1),
            [first, ..] if first.is_ascii_alphabetic() => self.start_tag(),
            [b'/', first, ..] if first.is_ascii_alphabetic() => self.end_tag(),
            [b'/', ..] if is_code(self.at + 2) => {
                self.odd(2);
                self.pass_until(b'>', |_| true);
            }
            [b'!', b'-', b'-', ..] => {
                let text = self.at + 2;
                self.at += 4;
                // `<!-->` is a whole comment.
                if let [b'>', ..] | [b'-', b'>', ..] = self.bytes[self.at..] {
                    self.at = text;
                }
                self.pass_until(b'>', |before| {
                    before.len() >= text + 2 && (before.ends_with(b"-->") || before.ends_with(b"--!>"))
                });
            }
            [b'!' | b'?' | b'/', ..] => self.pass_until(b'>', |_| true),
            _ => self.at += 1,
        }
    }

    fn odd(&mut self, len: usize) {
        self.at += len;
        self.markup.push(Markup::Odd);
    }

    fn end_tag(&mut self) {
        self.at += 2;
        let name = self.name();
        self.markup.push(Markup::End(name));
        self.pass_until(b'>', |_| true);
    }

    /// Name of a tag in lower case; empty if it has code in it.
    fn name(&mut self) -> String {
        let from = self.at;
        self.pass(is_of_name);
        let name = self.source[from..self.at].to_ascii_lowercase();
        let mut has_code = false;
        while !self.ends_word() && self.pass_code().is_some() {
            has_code = true;
            self.pass(is_of_name);
        }
        if has_code { String::new() } else { name }
    }

    /// Whether the code at this position writes nothing and is followed by the end of a word.
    fn ends_word(&self) -> bool {
        self.codes.get(self.next).filter(|code| code.range.start == self.at).is_some_and(|code| {
            let is_written = matches!(code.kind, CodeKind::Prints { .. } | CodeKind::Include(_) | CodeKind::Block(_));
            !is_written && self.bytes.get(code.range.end).is_none_or(|b| !is_of_name(*b))
        })
    }

    fn is_at_end_of_branch(&self) -> bool {
        self.codes
            .get(self.next)
            .filter(|code| code.range.start == self.at)
            .is_some_and(|code| matches!(code.kind, CodeKind::Closes | CodeKind::Divides))
    }

    /// Passes over bytes before the next code.
    fn pass(&mut self, goes_on: impl Fn(u8) -> bool) {
        let end = self.code_at();
        while self.at < end && goes_on(self.bytes[self.at]) {
            self.at += 1;
        }
    }

    fn start_tag(&mut self) {
        let at = self.at;
        self.at += 1;
        let name = self.name();
        let mut reader = TagReader::new(StartTag {
            name,
            at,
            name_end: self.at,
            last_end: self.at,
            attributes: Vec::new(),
            has_code: false,
            is_open_ended: false,
            is_self_closing: false,
        });
        if !self.attributes(&mut reader) {
            return;
        }
        let (tag, unbalanced) = reader.end();
        let name = tag.name.clone();
        self.markup.push(Markup::Start(tag));
        self.markup.extend(unbalanced.into_iter().map(Markup::Code));
        if name == "plaintext" {
            self.at = self.bytes.len();
        } else if is_raw(&name) {
            self.raw(&name);
        }
    }

    /// Reads attributes up to the `>` of a tag. Returns false at the end of the source.
    fn attributes(&mut self, reader: &mut TagReader) -> bool {
        loop {
            self.pass(is_space);
            if let Some(number) = self.pass_code() {
                reader.code(number, self.codes[number].kind);
                reader.tag.last_end = self.at;
                continue;
            }
            match self.bytes.get(self.at) {
                None => return false,
                Some(b'>') => {
                    self.at += 1;
                    return true;
                }
                Some(b'/') => {
                    self.at += 1;
                    reader.tag.is_self_closing = self.bytes.get(self.at) == Some(&b'>');
                }
                Some(_) => {
                    let attribute = self.attribute(reader);
                    reader.tag.last_end = self.at;
                    reader.add(attribute);
                }
            }
        }
    }

    fn attribute(&mut self, reader: &mut TagReader) -> TagAttribute {
        let from = self.at;
        let is_conditional = reader.depth > 0;
        // The first byte of a name may be one that ends it elsewhere.
        self.at += 1;
        self.pass(|b| is_of_name(b) && b != b'=');
        let name_end = self.at;
        let name = self.source[from..name_end].to_ascii_lowercase();
        let mut attribute = TagAttribute { name, name_end, value: None, quote: None, is_conditional };
        if self.code_at() == self.at && self.at < self.bytes.len() {
            // A name that code continues is not known; one in a branch ends with it.
            reader.tag.is_open_ended |= !self.ends_word() && !self.is_at_end_of_branch();
            return attribute;
        }
        self.pass(is_space);
        if self.bytes.get(self.at) != Some(&b'=') || self.code_at() == self.at {
            self.at = name_end;
            return attribute;
        }
        self.at += 1;
        self.pass(is_space);
        let quote = self.bytes.get(self.at).copied().filter(|b| matches!(b, b'"' | b'\'') && self.code_at() > self.at);
        self.at += usize::from(quote.is_some());
        let start = self.at;
        self.pass_value(quote, reader);
        attribute.value = Some(start..self.at);
        attribute.quote = quote;
        self.at += usize::from(quote.is_some() && self.at < self.bytes.len());
        attribute
    }

    /// Passes up to the end of a value. Code in it has to be balanced.
    fn pass_value(&mut self, quote: Option<u8>, reader: &mut TagReader) {
        let outer = reader.depth;
        loop {
            match quote {
                Some(quote) => self.pass(|b| b != quote),
                None => self.pass(|b| !is_space(b) && b != b'>'),
            }
            // The branch around an attribute also ends a value without quotes.
            if quote.is_none() && outer > 0 && reader.depth == outer && self.is_at_end_of_branch() {
                return;
            }
            match self.pass_code() {
                Some(number) => reader.code_in_value(number, self.codes[number].kind),
                None => break,
            }
        }
        reader.tag.is_open_ended |= reader.depth != outer;
    }

    /// Passes over the content of an element whose content is not HTML.
    fn raw(&mut self, name: &str) {
        let from = self.at;
        while self.at < self.bytes.len() {
            match self.find(b'<') {
                Some(at) if self.is_end_of(name, at) => {
                    self.at = at;
                    break;
                }
                Some(at) => self.at = at + 1,
                None => self.pass_to_code(),
            }
        }
        if name == "style" {
            self.markup.push(Markup::Css(from..self.at));
        }
    }

    fn is_end_of(&self, name: &str, at: usize) -> bool {
        let Some([b'<', b'/', rest @ ..]) = self.bytes.get(at..) else { return false };
        let Some((end, after)) = rest.split_at_checked(name.len()) else { return false };
        end.eq_ignore_ascii_case(name.as_bytes()) && after.first().is_none_or(|b| !is_of_name(*b))
    }
}

fn is_of_name(byte: u8) -> bool {
    !is_space(byte) && byte != b'/' && byte != b'>'
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c')
}

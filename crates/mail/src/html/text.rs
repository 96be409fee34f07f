//! Plain text for mails that have only HTML.

use std::{cell::RefCell, collections::HashMap};

use html5ever::{
    LocalName,
    tokenizer::{Tag, TagKind, Token, TokenSink, TokenSinkResult},
};

use super::{
    Reader,
    elements::{is_block, is_void},
    open_elements::OpenElements,
    raw, read,
    text_writer::{TextWriter, is_visible},
    visibility::{Visibility, attribute},
};

/// Maximum size of a generated text, in bytes; the rest of the HTML is dropped.
const MOST_BYTES: usize = 1 << 20;
/// Maximum nesting of lists that are numbered separately.
const MOST_LISTS: usize = 64;
/// Last line of a truncated text.
const CUT: &str = "[...]\n";

/// Converts an HTML body to text, with its links listed at the end. Layout tables are read cell by
/// cell. No line is wrapped: quoted-printable folds long lines without changing them. What is not
/// displayed is omitted; the text is empty if nothing is displayed.
pub(crate) fn text_of_html(html: &str) -> String {
    read(html, TextReader::default()).0.into_inner().into_text()
}

#[derive(Debug, Default)]
struct TextReader(RefCell<ConverterState>);

/// Conversion state.
#[derive(Debug, Default)]
struct ConverterState {
    output: TextWriter,
    links: Links,
    open: OpenElements<Visibility>,
    /// Open lists: the next number of a numbered list, or `None`.
    lists: Vec<Option<i64>>,
    /// Number of open lists beyond the maximum nesting.
    more_lists: usize,
    /// Number of open preformatted elements.
    preformatted: usize,
    is_full: bool,
}

/// Links of the text.
#[derive(Debug, Default)]
struct Links {
    /// URLs in the order of their numbers.
    urls: Vec<String>,
    numbers: HashMap<String, usize>,
    bytes: usize,
    open: Option<OpenLink>,
}

/// Link being read, and the position where its text begins.
#[derive(Debug)]
struct OpenLink {
    url: String,
    position: Option<usize>,
}

impl Reader for TextReader {
    fn is_done(&self) -> bool {
        self.0.borrow().is_full
    }
}

impl TokenSink for TextReader {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut text = self.0.borrow_mut();
        match token {
            Token::CharacterTokens(words) => text.words(&words),
            Token::TagToken(tag) => {
                text.tag(&tag);
                if tag.kind == TagKind::StartTag {
                    return raw::after(&tag.name);
                }
            }
            Token::DoctypeToken(_)
            | Token::CommentToken(_)
            | Token::NullCharacterToken
            | Token::EOFToken
            | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

impl ConverterState {
    fn words(&mut self, words: &str) {
        if self.visibility().shows_text() {
            self.shown(words);
        }
    }

    fn shown(&mut self, words: &str) {
        if self.is_full {
            return;
        }
        self.is_full = self.output.len() + self.links.bytes + words.len() > MOST_BYTES;
        let mut words = if self.is_full { &words[..words.floor_char_boundary(MOST_BYTES / 4)] } else { words };
        let is_odd = |c: char| c.is_control() && !c.is_ascii_whitespace();
        let plain;
        if words.contains(is_odd) {
            plain = words.replace(is_odd, "");
            words = &plain;
        }
        if let Some(open) = &mut self.links.open
            && open.position.is_none()
            && words.contains(is_visible)
        {
            let (before, after) = words.split_at(words.len() - words.trim_start().len());
            self.output.words(before);
            open.position = Some(self.output.position());
            self.output.tail("[");
            words = after;
        }
        if self.preformatted > 0 { self.output.lines(words) } else { self.output.words(words) }
    }

    /// Visibility of the content of the innermost element.
    fn visibility(&self) -> Visibility {
        self.open.last().map(|(_, visibility)| *visibility).unwrap_or_default()
    }

    fn tag(&mut self, tag: &Tag) {
        let closed = match tag.kind {
            TagKind::StartTag => self.open.before(&tag.name),
            TagKind::EndTag => self.open.end(&tag.name),
        };
        let is_unmatched = closed.is_empty();
        for (name, visibility) in closed {
            if !visibility.is_removed {
                self.end(&name);
            }
        }
        match tag.kind {
            TagKind::StartTag => self.open_element(tag),
            TagKind::EndTag if is_unmatched && !self.visibility().is_removed => self.block(&tag.name),
            TagKind::EndTag => {}
        }
    }

    fn open_element(&mut self, tag: &Tag) {
        let visibility = self.visibility().of(tag);
        // Self-closing tags exist only in SVG and MathML.
        let is_empty = tag.self_closing && ["svg", "math"].contains(&&*tag.name);
        if !is_void(&tag.name) && !is_empty {
            self.open.push(tag.name.clone(), visibility);
        }
        if &*tag.name == "img" && visibility.shows_images() {
            self.shown(&format!(" {} ", attribute(&tag.attrs, "alt").unwrap_or_default()));
        } else if !visibility.is_removed {
            self.start(tag);
        }
    }

    fn start(&mut self, tag: &Tag) {
        match &*tag.name {
            "br" => self.output.line_break(),
            "a" => self.open_link(tag),
            "ul" | "menu" => self.open_list(None),
            "ol" => self.open_list(Some(attribute(&tag.attrs, "start").and_then(|n| n.parse().ok()).unwrap_or(1))),
            "li" => self.item(),
            "dd" => {
                self.output.block(1);
                self.output.indent = self.list_indent() + 2;
            }
            "blockquote" => {
                self.output.block(2);
                self.output.quotes += 1;
            }
            "pre" | "listing" | "xmp" | "textarea" => {
                self.block(&tag.name);
                self.preformatted += 1;
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.output.block(2);
                let level = tag.name.bytes().last().map_or(1, |digit| usize::from(digit - b'0'));
                self.output.mark(&format!("{} ", "#".repeat(level)), false);
            }
            _ => self.block(&tag.name),
        }
    }

    fn end(&mut self, name: &LocalName) {
        match &**name {
            "a" => self.close_link(),
            "ul" | "ol" | "menu" => self.close_list(),
            "dd" | "dl" => {
                self.block(name);
                self.output.indent = self.list_indent();
            }
            "blockquote" => {
                self.output.block(2);
                self.output.quotes = self.output.quotes.saturating_sub(1);
            }
            "pre" | "listing" | "xmp" | "textarea" => {
                self.block(name);
                self.preformatted = self.preformatted.saturating_sub(1);
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.output.block(2);
                self.output.mark("", false);
            }
            _ => self.block(name),
        }
    }

    fn block(&mut self, name: &str) {
        match name {
            "p" | "pre" | "hr" | "dl" | "figure" | "listing" | "xmp" => self.output.block(2),
            "dt" => {
                self.output.block(1);
                self.output.indent = self.list_indent();
            }
            _ if is_block(name) => self.output.block(1),
            _ => {}
        }
    }

    fn open_list(&mut self, first: Option<i64>) {
        self.output.block(if self.lists.is_empty() { 2 } else { 1 });
        if self.lists.len() < MOST_LISTS {
            self.lists.push(first);
        } else {
            self.more_lists += 1;
        }
        self.output.indent = self.list_indent();
    }

    fn close_list(&mut self) {
        match self.more_lists.checked_sub(1) {
            Some(fewer) => self.more_lists = fewer,
            None => drop(self.lists.pop()),
        }
        self.output.block(if self.lists.is_empty() { 2 } else { 1 });
        self.output.mark("", false);
        self.output.indent = self.list_indent();
    }

    fn item(&mut self) {
        self.output.block(1);
        self.output.indent = self.list_indent();
        match self.lists.last_mut() {
            Some(Some(next)) => {
                self.output.mark(&format!("{next}. "), true);
                *next = next.saturating_add(1);
            }
            Some(None) | None => self.output.mark("* ", true),
        }
    }

    fn list_indent(&self) -> usize {
        self.lists.iter().map(|list| if list.is_some() { 3 } else { 2 }).sum()
    }

    fn open_link(&mut self, tag: &Tag) {
        self.close_link();
        let url = attribute(&tag.attrs, "href").map(in_one_word).filter(|url| leads_somewhere(url));
        self.links.open = url.map(|url| OpenLink { url, position: None });
    }

    fn close_link(&mut self) {
        let Some(OpenLink { url, position: Some(position) }) = self.links.open.take() else { return };
        let shown = self.output.since(position + 1);
        if shown == url || url.strip_prefix("mailto:") == Some(shown) {
            self.output.remove_byte(position);
        } else if self.links.bytes + url.len() <= MOST_BYTES {
            let number = self.links.number(url);
            self.output.tail(&format!("][{number}]"));
        } else {
            self.is_full = true;
            self.output.tail("]");
        }
    }

    fn into_text(mut self) -> String {
        self.close_link();
        let mut text = self.output.into_text();
        if self.is_full {
            text.push_str(CUT);
        }
        if !self.links.urls.is_empty() {
            text.push('\n');
        }
        for (number, url) in self.links.urls.iter().enumerate() {
            text.push_str(&format!("[{}]: {url}\n", number + 1));
        }
        text
    }
}

impl Links {
    /// Number of a URL, counted from 1; the same URL has one number.
    fn number(&mut self, url: String) -> usize {
        if let Some(number) = self.numbers.get(&url) {
            return *number;
        }
        self.bytes += url.len() + 8;
        self.urls.push(url.clone());
        self.numbers.insert(url, self.urls.len());
        self.urls.len()
    }
}

/// Returns a URL without control characters, its spaces escaped.
fn in_one_word(url: &str) -> String {
    let url = url.trim().replace(|c: char| c.is_control(), "");
    if url.contains(char::is_whitespace) { url.replace(char::is_whitespace, "%20") } else { url }
}

fn leads_somewhere(url: &str) -> bool {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    !url.is_empty() && !url.starts_with('#') && !scheme.eq_ignore_ascii_case("javascript")
}

#[cfg(test)]
mod tests;

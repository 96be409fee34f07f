//! Bound on the attributes of a tag. A tokenizer compares each attribute with all previous ones, in
//! quadratic time.

use std::borrow::Cow;

use memchr::memchr;

use super::raw::{PLAINTEXT, is_raw};

/// Maximum number of attributes of one tag; the rest is dropped.
const MOST: usize = 48;

/// Returns the document without surplus attributes; usually unchanged.
pub(super) fn bounded(html: &str) -> Cow<'_, str> {
    let mut scan = Scan { html, bytes: html.as_bytes(), at: 0 };
    let (mut bounded, mut from) = (String::new(), 0);
    while scan.find_tag() {
        if let Some(surplus) = scan.pass_tag() {
            bounded.push_str(&html[from..surplus]);
            from = scan.at;
        }
    }
    if from == 0 {
        return Cow::Borrowed(html);
    }
    bounded.push_str(&html[from..]);
    Cow::Owned(bounded)
}

/// Position in a document, advanced by the rules of an HTML tokenizer.
struct Scan<'a> {
    html: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    /// Advances to the name of the next tag, past comments and declarations. Returns false at the
    /// end.
    fn find_tag(&mut self) -> bool {
        while let Some(open) = self.find(b'<') {
            self.at = open + 1;
            match self.bytes.get(self.at..) {
                Some([first, ..]) if first.is_ascii_alphabetic() => return true,
                Some([b'/', first, ..]) if first.is_ascii_alphabetic() => {
                    self.at += 1;
                    return true;
                }
                Some([b'!', b'-', b'-', ..]) => self.pass_comment(),
                Some([b'!' | b'?' | b'/', ..]) => self.at = self.find(b'>').unwrap_or(self.bytes.len()),
                _ => {}
            }
        }
        false
    }

    /// Advances past the end of a comment: `-->` or `--!>`.
    fn pass_comment(&mut self) {
        let text = self.at + 1;
        while let Some(end) = self.find(b'>') {
            self.at = end + 1;
            let comment = &self.bytes[text..end];
            if comment.ends_with(b"--") || comment.ends_with(b"--!") {
                return;
            }
        }
        self.at = self.bytes.len();
    }

    /// Advances to the `>` of the current tag, and past the content of an element whose content is
    /// not HTML. Returns the start of surplus attributes; they end at the new position.
    fn pass_tag(&mut self) -> Option<usize> {
        let is_end = self.at >= 2 && self.bytes[self.at - 1] == b'/';
        let name = self.at;
        self.pass(|b| !is_space(b) && b != b'/' && b != b'>');
        let name = &self.html[name..self.at];
        let surplus = self.pass_attributes();
        if surplus.is_none() && !is_end {
            self.pass_raw(name);
        }
        surplus
    }

    fn pass_attributes(&mut self) -> Option<usize> {
        let (mut number, mut surplus) = (0, None);
        loop {
            self.pass(|b| is_space(b) || b == b'/');
            if matches!(self.peek(), None | Some(b'>')) {
                return surplus;
            }
            number += 1;
            if number == MOST + 1 {
                surplus = Some(self.at);
            }
            self.pass_attribute();
        }
    }

    fn pass_attribute(&mut self) {
        // The first byte of a name may be one that ends it elsewhere.
        self.at += 1;
        self.pass(|b| !is_space(b) && b != b'/' && b != b'>' && b != b'=');
        self.pass(is_space);
        if self.peek() != Some(b'=') {
            return;
        }
        self.at += 1;
        self.pass(is_space);
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => {
                self.at += 1;
                self.at = self.find(quote).map_or(self.bytes.len(), |end| end + 1);
            }
            _ => self.pass(|b| !is_space(b) && b != b'>'),
        }
    }

    /// Advances past the content of an element whose content is not HTML.
    fn pass_raw(&mut self, name: &str) {
        if name.eq_ignore_ascii_case(PLAINTEXT) {
            self.at = self.bytes.len();
        } else if is_raw(name) {
            while let Some(open) = self.find(b'<') {
                self.at = open + 1;
                if self.is_end_of(name) {
                    self.at = open;
                    return;
                }
            }
            self.at = self.bytes.len();
        }
    }

    /// Whether the position is at `/name` followed by a character that ends the name.
    fn is_end_of(&self, name: &str) -> bool {
        let Some([b'/', rest @ ..]) = self.bytes.get(self.at..) else { return false };
        let Some((end, after)) = rest.split_at_checked(name.len()) else { return false };
        end.eq_ignore_ascii_case(name.as_bytes())
            && after.first().is_none_or(|b| is_space(*b) || *b == b'/' || *b == b'>')
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn pass(&mut self, goes_on: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&goes_on) {
            self.at += 1;
        }
    }

    fn find(&self, byte: u8) -> Option<usize> {
        memchr(byte, self.bytes.get(self.at..)?).map(|found| self.at + found)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(number: usize) -> String {
        (0..number).map(|n| format!(" a{n}='>'")).collect()
    }

    #[test]
    fn only_surplus_attributes_are_dropped() {
        let (most, more) = (many(MOST), many(2 * MOST));
        for (html, expected) in [
            (format!("<p{most}>x</p>"), format!("<p{most}>x</p>")),
            (format!("<p{more}>x</p{more}>"), format!("<p{most} >x</p{most} >")),
            (format!("a<{more}> <p{more}"), format!("a<{more}> <p{most} ")),
            (format!("<!--<p{more}--><p{more}>"), format!("<!--<p{more}--><p{most} >")),
            (format!("<!-- --!><p{more}>"), format!("<!-- --!><p{most} >")),
            (format!("<!--><p{more}>"), format!("<!--><p{most} >")),
            (format!("<script>a <b{more}</scripts></SCRIPT><p{more}>"), {
                format!("<script>a <b{more}</scripts></SCRIPT><p{most} >")
            }),
            (format!("<plaintext><p{more}>"), format!("<plaintext><p{more}>")),
            (format!("<p a=\"{more}>"), format!("<p a=\"{more}>")),
        ] {
            assert_eq!(bounded(&html), expected, "{html}");
        }
    }
}

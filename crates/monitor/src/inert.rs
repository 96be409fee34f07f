//! A mail's HTML without what loads, runs, submits or leads elsewhere by itself.
//!
//! The frame's policy forbids all of that already; what is not there needs no policy. The text is taken apart as a browser
//! does it and put together anew, so that no tag comes to be where one was removed.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use html5ever::{
    Attribute, LocalName,
    interface::TokenizerResult,
    tendril::StrTendril,
    tokenizer::{
        BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts, states::RawKind,
    },
};

/// Maximum of what is read, and of what is made of it.
pub(crate) const MOST_READ: usize = 2 << 20;
const MOST_MADE: usize = 8 << 20;
/// Time limit, looked at between pieces of the input.
const LIMIT: Duration = Duration::from_secs(2);
const PIECE: usize = 16 * 1_024;

/// Elements that go with all that is in them; a browser takes it for text.
const GONE: [&str; 6] = ["script", "iframe", "noembed", "noframes", "title", "xmp"];
/// Elements that go; what is in them stays.
const UNWRAPPED: [&str; 15] = [
    "applet",
    "base",
    "embed",
    "form",
    "frame",
    "frameset",
    "link",
    "math",
    "meta",
    "noscript",
    "object",
    "plaintext",
    "portal",
    "svg",
    "template",
];

/// Why there is no inert form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// The inert form of a mail's HTML. `image` gives the address of the image with a Content-ID.
pub(crate) fn inert(html: &str, image: impl Fn(&str) -> Option<String>) -> Result<String, TooLarge> {
    if html.len() > MOST_READ {
        return Err(TooLarge);
    }
    let sink = Sink { image, state: RefCell::default() };
    let (tokenizer, input, end) =
        (Tokenizer::new(sink, TokenizerOpts::default()), BufferQueue::default(), Instant::now() + LIMIT);
    let mut rest = html;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.ceil_char_boundary(PIECE.min(rest.len())));
        input.push_back(StrTendril::from_slice(piece));
        while !matches!(tokenizer.feed(&input), TokenizerResult::Done) {}
        if Instant::now() > end || tokenizer.sink.state.borrow().made.len() > MOST_MADE {
            return Err(TooLarge);
        }
        rest = after;
    }
    tokenizer.end();
    let made = tokenizer.sink.state.take().made;
    if made.len() <= MOST_MADE { Ok(made) } else { Err(TooLarge) }
}

struct Sink<F> {
    image: F,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    made: String,
    inside: Inside,
}

/// What the text is in.
#[derive(Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Text,
    /// A style sheet, written as it is.
    Style,
    /// An element that goes.
    Gone,
}

impl<F: Fn(&str) -> Option<String>> TokenSink for Sink<F> {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut state = self.state.borrow_mut();
        match token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => return self.open(&tag, &mut state),
            Token::TagToken(tag) => close(&tag, &mut state),
            Token::CharacterTokens(text) => self.write(&text, &mut state),
            Token::DoctypeToken(_) => state.made.push_str("<!DOCTYPE html>"),
            Token::CommentToken(_) | Token::NullCharacterToken | Token::EOFToken | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

impl<F: Fn(&str) -> Option<String>> Sink<F> {
    fn open(&self, tag: &Tag, state: &mut State) -> TokenSinkResult<()> {
        let name: &str = &tag.name;
        if GONE.contains(&name) {
            state.inside = Inside::Gone;
        } else if !UNWRAPPED.contains(&name) && is_name(name) {
            if name == "style" {
                state.inside = Inside::Style;
            }
            state.made.push('<');
            state.made.push_str(name);
            tag.attrs.iter().for_each(|attribute| self.write_attribute(attribute, &mut state.made));
            state.made.push('>');
        }
        match name {
            "script" => TokenSinkResult::RawData(RawKind::ScriptData),
            "style" | "iframe" | "noembed" | "noframes" | "xmp" => TokenSinkResult::RawData(RawKind::Rawtext),
            "title" | "textarea" => TokenSinkResult::RawData(RawKind::Rcdata),
            "plaintext" => TokenSinkResult::Plaintext,
            _ => TokenSinkResult::Continue,
        }
    }

    fn write_attribute(&self, attribute: &Attribute, made: &mut String) {
        let name: &LocalName = &attribute.name.local;
        if !is_name(name) || is_active(name, &attribute.value) {
            return;
        }
        made.push(' ');
        made.push_str(name);
        made.push_str("=\"");
        escape(&self.with_images(&attribute.value), made);
        made.push('"');
    }

    fn write(&self, text: &str, state: &mut State) {
        match state.inside {
            Inside::Text => escape(text, &mut state.made),
            Inside::Style => state.made.push_str(&self.with_images(text)),
            Inside::Gone => {}
        }
    }

    /// `cid:` means nothing to a browser: the address of the image takes its place.
    fn with_images(&self, text: &str) -> String {
        let mut made = String::new();
        let mut rest = text;
        while let Some(at) = find_cid(rest) {
            let (before, reference) = rest.split_at(at);
            let end = reference.find(|c: char| c.is_whitespace() || "\"'()<>,;".contains(c)).unwrap_or(reference.len());
            let (reference, after) = reference.split_at(end);
            made.push_str(before);
            match (self.image)(&decoded(&reference["cid:".len()..])) {
                Some(address) => made.push_str(&address),
                None => made.push_str(reference),
            }
            rest = after;
        }
        made.push_str(rest);
        made
    }
}

fn close(tag: &Tag, state: &mut State) {
    let name: &str = &tag.name;
    state.inside = Inside::Text;
    if !GONE.contains(&name) && !UNWRAPPED.contains(&name) && is_name(name) {
        state.made.push_str("</");
        state.made.push_str(name);
        state.made.push('>');
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':'))
}

/// Whether an attribute would do something.
fn is_active(name: &str, value: &str) -> bool {
    let script = || {
        let visible = value.chars().filter(|c| !c.is_whitespace() && !c.is_control()).take(11);
        let scheme: String = visible.map(|c| c.to_ascii_lowercase()).collect();
        scheme.starts_with("javascript:") || scheme.starts_with("vbscript:")
    };
    name.starts_with("on")
        || matches!(name, "srcdoc" | "action" | "formaction" | "ping" | "autofocus" | "autoplay" | "target")
        || script()
}

fn find_cid(text: &str) -> Option<usize> {
    text.as_bytes().windows(4).position(|four| four.eq_ignore_ascii_case(b"cid:"))
}

/// A Content-ID as it stands in a URL (RFC 2392).
fn decoded(reference: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), reference.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn escape(text: &str, made: &mut String) {
    for c in text.chars() {
        match c {
            '&' => made.push_str("&amp;"),
            '<' => made.push_str("&lt;"),
            '>' => made.push_str("&gt;"),
            '"' => made.push_str("&quot;"),
            c => made.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(html: &str) -> String {
        inert(html, |id| (id == "a@b").then(|| "image/0?x&y".to_owned())).expect("small enough")
    }

    #[test]
    fn what_acts_is_gone_and_the_rest_stays() {
        for (html, expected) in [
            (
                "<p class=x style='color: red'>rich &amp; <b>bold</b></p>",
                "<p class=\"x\" style=\"color: red\">rich &amp; <b>bold</b></p>",
            ),
            ("a<script>alert('<b>')</script>b", "ab"),
            ("<link rel=dns-prefetch href=//x><base href=//x><meta http-equiv=refresh content='0;//x'>y", "y"),
            ("<form action=//x><input name=a></form>", "<input name=\"a\">"),
            ("<img src=x onerror=alert(1)>", "<img src=\"x\">"),
            ("<a href=' java\nscript:alert(1)'>x</a>", "<a>x</a>"),
            ("<li<link>nk>", "nk&gt;"),
            ("<<link>img src=x onerror=y>", "&lt;img src=x onerror=y&gt;"),
            ("<svg><style><img src=x onerror=y></style></svg>", "<style><img src=x onerror=y></style>"),
            ("<style>a{b:'</style><link>'}", "<style>a{b:'</style>'}"),
            ("<iframe srcdoc='x'>y</iframe><!-- c --><plaintext><b>", "&lt;b&gt;"),
            ("<textarea></textarea><textarea><b>", "<textarea></textarea><textarea>&lt;b&gt;"),
            (
                "<!doctype html><html><head><title>t</title></head><body bgcolor=red onload=x>x",
                "<!DOCTYPE html><html><head></head><body bgcolor=\"red\">x",
            ),
        ] {
            assert_eq!(made(html), expected, "{html}");
        }
    }

    #[test]
    fn images_get_their_address() {
        for (html, expected) in [
            ("<img src=cid:a@b>", "<img src=\"image/0?x&amp;y\">"),
            ("<img src='CID:a%40b'>", "<img src=\"image/0?x&amp;y\">"),
            ("<img src=cid:other>", "<img src=\"cid:other\">"),
            ("<p style=\"background: url('cid:a@b')\">", "<p style=\"background: url('image/0?x&amp;y')\">"),
            ("<style>p{background:url(cid:a@b)}</style>", "<style>p{background:url(image/0?x&y)}</style>"),
            ("cid:a@b", "cid:a@b"),
        ] {
            assert_eq!(made(html), expected, "{html}");
        }
    }

    #[test]
    fn what_is_read_and_made_is_bounded() {
        assert_eq!(inert(&"x".repeat(MOST_READ + 1), |_| None), Err(TooLarge));
        let many = "<i a=cid:a>".repeat(50_000);
        assert_eq!(inert(&many, |_| Some("y".repeat(200))), Err(TooLarge));
        // A tag with very many attributes takes quadratic time.
        let attributes: String = (0..150_000).map(|n| format!("a{n} ")).collect();
        let start = Instant::now();
        let _ = inert(&format!("<i {attributes}>"), |_| None);
        assert!(start.elapsed() < LIMIT * 10, "{:?}", start.elapsed());
    }
}

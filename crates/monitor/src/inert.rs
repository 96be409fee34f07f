//! Sanitizer of a mail's HTML: removes everything that loads, runs, submits or navigates by itself.
//!
//! The policy of the frame forbids all of that already; this is a second line of defence. The text
//! is tokenized as in a browser and written anew, so that removing a tag can't form another one.

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

/// Maximum size of the input, and of the output, in bytes.
pub(crate) const INPUT_BYTES: usize = 2 << 20;
const OUTPUT_BYTES: usize = 8 << 20;
/// Time limit, checked between pieces of the input.
const LIMIT: Duration = Duration::from_secs(2);
const PIECE: usize = 16 * 1_024;

/// Elements removed with their content, which a browser treats as text.
const REMOVED: [&str; 6] = ["script", "iframe", "noembed", "noframes", "title", "xmp"];
/// Elements removed without their content.
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

/// Error: the input or the output is too large, or the work takes too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Returns the sanitized HTML. `image` maps a Content-ID to the address of the image.
///
/// # Errors
/// Returns [`TooLarge`] beyond a bound of size or time.
pub(crate) fn inert(html: &str, image: impl Fn(&str) -> Option<String>) -> Result<String, TooLarge> {
    if html.len() > INPUT_BYTES {
        return Err(TooLarge);
    }
    let sink = Sanitizer { image, state: RefCell::default() };
    let (tokenizer, input, end) =
        (Tokenizer::new(sink, TokenizerOpts::default()), BufferQueue::default(), Instant::now() + LIMIT);
    let mut rest = html;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.ceil_char_boundary(PIECE.min(rest.len())));
        input.push_back(StrTendril::from_slice(piece));
        while !matches!(tokenizer.feed(&input), TokenizerResult::Done) {}
        if Instant::now() > end || tokenizer.sink.state.borrow().output.len() > OUTPUT_BYTES {
            return Err(TooLarge);
        }
        rest = after;
    }
    tokenizer.end();
    let output = tokenizer.sink.state.take().output;
    if output.len() <= OUTPUT_BYTES { Ok(output) } else { Err(TooLarge) }
}

struct Sanitizer<F> {
    image: F,
    state: RefCell<SanitizerState>,
}

#[derive(Default)]
struct SanitizerState {
    output: String,
    inside: TextContext,
}

/// Element that contains the current text.
#[derive(Default, PartialEq, Eq)]
enum TextContext {
    #[default]
    Text,
    /// A style sheet, copied unchanged.
    Style,
    /// An element that is removed.
    Removed,
}

impl<F: Fn(&str) -> Option<String>> TokenSink for Sanitizer<F> {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut state = self.state.borrow_mut();
        match token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => return self.open(&tag, &mut state),
            Token::TagToken(tag) => close(&tag, &mut state),
            Token::CharacterTokens(text) => self.write(&text, &mut state),
            Token::DoctypeToken(_) => state.output.push_str("<!DOCTYPE html>"),
            Token::CommentToken(_) | Token::NullCharacterToken | Token::EOFToken | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

impl<F: Fn(&str) -> Option<String>> Sanitizer<F> {
    fn open(&self, tag: &Tag, state: &mut SanitizerState) -> TokenSinkResult<()> {
        let name: &str = &tag.name;
        if REMOVED.contains(&name) {
            state.inside = TextContext::Removed;
        } else if !UNWRAPPED.contains(&name) && is_name(name) {
            if name == "style" {
                state.inside = TextContext::Style;
            }
            state.output.push('<');
            state.output.push_str(name);
            tag.attrs.iter().for_each(|attribute| self.write_attribute(attribute, &mut state.output));
            state.output.push('>');
        }
        match name {
            "script" => TokenSinkResult::RawData(RawKind::ScriptData),
            "style" | "iframe" | "noembed" | "noframes" | "xmp" => TokenSinkResult::RawData(RawKind::Rawtext),
            "title" | "textarea" => TokenSinkResult::RawData(RawKind::Rcdata),
            "plaintext" => TokenSinkResult::Plaintext,
            _ => TokenSinkResult::Continue,
        }
    }

    fn write_attribute(&self, attribute: &Attribute, output: &mut String) {
        let name: &LocalName = &attribute.name.local;
        if !is_name(name) || is_active(name, &attribute.value) {
            return;
        }
        output.push(' ');
        output.push_str(name);
        output.push_str("=\"");
        escape(&self.with_images(&attribute.value), output);
        output.push('"');
    }

    fn write(&self, text: &str, state: &mut SanitizerState) {
        match state.inside {
            TextContext::Text => escape(text, &mut state.output),
            TextContext::Style => state.output.push_str(&self.with_images(text)),
            TextContext::Removed => {}
        }
    }

    /// Replaces `cid:` references with the addresses of the images.
    fn with_images(&self, text: &str) -> String {
        let mut text_with_addresses = String::new();
        let mut rest = text;
        while let Some(at) = find_cid(rest) {
            let (before, reference) = rest.split_at(at);
            let end = reference.find(|c: char| c.is_whitespace() || "\"'()<>,;".contains(c)).unwrap_or(reference.len());
            let (reference, after) = reference.split_at(end);
            text_with_addresses.push_str(before);
            match (self.image)(&decoded(&reference["cid:".len()..])) {
                Some(address) => text_with_addresses.push_str(&address),
                None => text_with_addresses.push_str(reference),
            }
            rest = after;
        }
        text_with_addresses.push_str(rest);
        text_with_addresses
    }
}

fn close(tag: &Tag, state: &mut SanitizerState) {
    let name: &str = &tag.name;
    state.inside = TextContext::Text;
    if !REMOVED.contains(&name) && !UNWRAPPED.contains(&name) && is_name(name) {
        state.output.push_str("</");
        state.output.push_str(name);
        state.output.push('>');
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':'))
}

/// Whether an attribute has an effect of its own.
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

/// Decodes a Content-ID in a URL (RFC 2392).
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

fn escape(text: &str, output: &mut String) {
    for c in text.chars() {
        match c {
            '&' => output.push_str("&amp;"),
            '<' => output.push_str("&lt;"),
            '>' => output.push_str("&gt;"),
            '"' => output.push_str("&quot;"),
            c => output.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sanitized(html: &str) -> String {
        inert(html, |id| (id == "a@b").then(|| "image/0?x&y".to_owned())).expect("small enough")
    }

    #[test]
    fn active_content_is_removed_and_the_rest_stays() {
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
            assert_eq!(sanitized(html), expected, "{html}");
        }
    }

    #[test]
    fn image_references_get_addresses() {
        for (html, expected) in [
            ("<img src=cid:a@b>", "<img src=\"image/0?x&amp;y\">"),
            ("<img src='CID:a%40b'>", "<img src=\"image/0?x&amp;y\">"),
            ("<img src=cid:other>", "<img src=\"cid:other\">"),
            ("<p style=\"background: url('cid:a@b')\">", "<p style=\"background: url('image/0?x&amp;y')\">"),
            ("<style>p{background:url(cid:a@b)}</style>", "<style>p{background:url(image/0?x&y)}</style>"),
            ("cid:a@b", "cid:a@b"),
        ] {
            assert_eq!(sanitized(html), expected, "{html}");
        }
    }

    #[test]
    fn input_and_output_are_bounded() {
        assert_eq!(inert(&"x".repeat(INPUT_BYTES + 1), |_| None), Err(TooLarge));
        let many = "<i a=cid:a>".repeat(50_000);
        assert_eq!(inert(&many, |_| Some("y".repeat(200))), Err(TooLarge));
        // A tag with very many attributes takes quadratic time.
        let attributes: String = (0..150_000).map(|n| format!("a{n} ")).collect();
        let start = Instant::now();
        let _ = inert(&format!("<i {attributes}>"), |_| None);
        assert!(start.elapsed() < LIMIT * 10, "{:?}", start.elapsed());
    }
}

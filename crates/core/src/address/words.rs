//! Words before an `@` or `<`: they become a local part or a display name.

use std::borrow::Cow;

use super::{
    encoded_word::EncodedName,
    invisible::{is_invisible, stripped},
    normal::{AddressFault, normal_local},
};

/// Words that precede an `@` or `<`.
#[derive(Debug, Default)]
pub(super) struct Words<'a>(Vec<NameWord<'a>>);

#[derive(Debug)]
struct NameWord<'a> {
    /// Whether a blank or a comment precedes it.
    gap: bool,
    kind: WordKind<'a>,
}

#[derive(Debug)]
enum WordKind<'a> {
    /// Text without quotes.
    Atom(&'a str),
    /// Content of a quoted string.
    Quoted(Cow<'a, str>),
    /// Text of encoded words, and how the first one is written.
    Encoded(EncodedName, &'a str),
}

impl<'a> Words<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add_atom(&mut self, gap: bool, text: &'a str) {
        self.0.push(NameWord { gap, kind: WordKind::Atom(text) });
    }

    pub(super) fn add_quoted(&mut self, gap: bool, content: Cow<'a, str>) {
        self.0.push(NameWord { gap, kind: WordKind::Quoted(content) });
    }

    /// Adds an encoded word. Blanks between two of them are not part of the name (RFC 2047 §6.2).
    pub(super) fn add_encoded(&mut self, gap: bool, word: &'a str) -> Result<(), AddressFault> {
        let mut text = EncodedName::of(word)?;
        let mut gap = gap;
        if let Some(NameWord { kind: WordKind::Encoded(last, _), .. }) = self.0.last_mut() {
            match last.append(text) {
                Ok(()) => return Ok(()),
                Err(other) => (text, gap) = (other, false),
            }
        }
        self.0.push(NameWord { gap, kind: WordKind::Encoded(text, word) });
        Ok(())
    }

    /// Whether the only word is this one, in any case.
    pub(super) fn are(&self, word: &str) -> bool {
        let [NameWord { kind: WordKind::Atom(text), .. }] = &self.0[..] else { return false };
        stripped(text).eq_ignore_ascii_case(word)
    }

    /// Returns the display name; `None` if it is empty.
    pub(super) fn name(self) -> Result<Option<String>, AddressFault> {
        if let [NameWord { kind: WordKind::Quoted(content), .. }] = &self.0[..] {
            return Ok((!content.is_empty()).then(|| content.clone().into_owned()));
        }
        let mut name = String::new();
        for word in &self.0 {
            if word.gap && !name.is_empty() {
                name.push(' ');
            }
            match &word.kind {
                WordKind::Atom(text) => name.push_str(text),
                WordKind::Quoted(content) => name.push_str(content),
                WordKind::Encoded(text, _) => name.push_str(&text.text()?),
            }
        }
        let seen = stripped(&name);
        if seen.len() < name.len() {
            name = seen.to_owned();
        }
        Ok((!name.is_empty()).then_some(name))
    }

    /// Returns the local part in normal form: one word, or several joined by dots.
    pub(super) fn local(&self) -> Result<Cow<'_, str>, AddressFault> {
        if self.0.iter().skip(1).any(|word| word.gap) {
            return Err(
                "there is a blank before the @; it needs quotes around that part, or < > around the address".into()
            );
        }
        match &self.0[..] {
            [NameWord { kind: WordKind::Quoted(content), .. }] => normal_local(content, true),
            [word] => normal_local(word.written().trim_start_matches(is_invisible), false),
            words => Ok(Cow::Owned(joined_local(words)?.into_owned())),
        }
    }
}

/// Joins the words of an obsolete local part such as `ann."lee b"` (RFC 5322 §4.4).
fn joined_local(words: &[NameWord<'_>]) -> Result<Cow<'static, str>, AddressFault> {
    for pair in words.windows(2) {
        let are_apart = pair[0].ends_in_dot() || pair[1].begins_with_dot();
        if !are_apart {
            return Err("the part before the @ has quotes within it; they may be around all of it".into());
        }
    }
    let content: String = words.iter().map(NameWord::written).collect();
    for word in words.iter().filter(|word| !word.is_quoted()) {
        let atom = word.written().trim_matches('.');
        if !atom.is_empty() {
            normal_local(atom, false)?;
        }
    }
    normal_local(&content, true).map(|local| Cow::Owned(local.into_owned()))
}

impl NameWord<'_> {
    /// Text as it is written, without quotes.
    fn written(&self) -> &str {
        match &self.kind {
            WordKind::Atom(text) | WordKind::Encoded(_, text) => text,
            WordKind::Quoted(content) => content,
        }
    }

    fn is_quoted(&self) -> bool {
        matches!(self.kind, WordKind::Quoted(_))
    }

    fn ends_in_dot(&self) -> bool {
        !self.is_quoted() && self.written().ends_with('.')
    }

    fn begins_with_dot(&self) -> bool {
        !self.is_quoted() && self.written().starts_with('.')
    }
}

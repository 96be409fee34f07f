//! Name of an attachment.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc_quick};

use super::Attachment;

impl Attachment {
    /// Returns the file name as recipients see it: the last part of a path, in NFC, without control
    /// characters and invisible ones.
    #[must_use]
    pub fn sent_name(&self) -> Cow<'_, str> {
        let base = self.filename.rsplit(['/', '\\']).next().unwrap_or_default();
        let base = base.trim();
        let is_visible = base.is_ascii() && !base.bytes().any(|b| b.is_ascii_control());
        if is_visible || (is_nfc_quick(base.chars()) == unicode_normalization::IsNormalized::Yes && !has_hidden(base)) {
            return Cow::Borrowed(base);
        }
        let shown = visible(base).nfc().collect::<String>();
        Cow::Owned(shown.trim().to_owned())
    }
}

fn has_hidden(name: &str) -> bool {
    name.chars().any(|c| is_hidden(c) || is_joiner(c))
}

/// Characters of a name without hidden ones. A joiner stays between two characters beyond ASCII: it
/// is part of an emoji, or of a word in a script such as Persian.
fn visible(name: &str) -> impl Iterator<Item = char> {
    let mut before = None;
    let mut chars = name.chars().filter(|c| !is_hidden(*c)).peekable();
    std::iter::from_fn(move || {
        loop {
            let c = chars.next()?;
            let joins = before.is_some_and(is_joined) && chars.peek().copied().is_some_and(is_joined);
            if !is_joiner(c) || joins {
                before = Some(c);
                return Some(c);
            }
        }
    })
}

fn is_joined(c: char) -> bool {
    !c.is_ascii() && !is_joiner(c)
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Whether a character is a control, a separator of lines, or a format character without a glyph.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_visible_end_of_a_path() {
        for (name, sent) in [
            ("a.pdf", "a.pdf"),
            ("/tmp/a.pdf", "a.pdf"),
            ("C:\\Users\\Ann\\Mein Bericht.docx", "Mein Bericht.docx"),
            ("../../etc/passwd", "passwd"),
            ("a/b\\c.txt", "c.txt"),
            (" a.pdf ", "a.pdf"),
            (".profile", ".profile"),
            ("Zaz\u{307}o\u{301}łc\u{301}.pdf", "Zażółć.pdf"),
            ("in\u{200b}vo\u{ad}ice\u{feff}.pdf", "invoice.pdf"),
            ("photo\u{202e}gpj.exe", "photogpj.exe"),
            ("a\tb\u{7f}\u{85}\u{1}.pdf", "ab.pdf"),
            ("a\u{200d}b\u{200c}.pdf", "ab.pdf"),
            ("👩\u{200d}🚀.pdf", "👩\u{200d}🚀.pdf"),
            ("می\u{200c}خواهم.pdf", "می\u{200c}خواهم.pdf"),
            ("ż\u{200d}\u{200d}ż", "ż\u{200d}ż"),
            ("folder/", ""),
            ("\u{200b}", ""),
        ] {
            let file =
                Attachment { filename: name.to_owned(), content_type: None, content_id: None, content: vec![].into() };
            assert_eq!(file.sent_name(), sent, "{name:?}");
        }
    }
}

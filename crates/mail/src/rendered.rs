//! Rendered content of a mail.

use postroom_core::{Mail, merged_headers};
use serde_json::{Map, Value};

use crate::html::text_of_html;

/// Maximum size of HTML, in bytes, that is converted to text in about a millisecond.
const QUICK: usize = 64 << 10;

/// Rendered content of a mail, ready to be composed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Subject, as one line.
    pub subject: String,
    /// The HTML body, if the mail has one.
    pub html: Option<String>,
    /// Plain-text body; generated from the HTML if the mail has no text. Empty if the HTML shows no
    /// text.
    pub text: String,
    /// Headers of the template, by name; those of the mail override them.
    pub headers: Map<String, Value>,
}

impl Rendered {
    /// Whether [`Rendered::literal`] is fast: the text is given, or is generated from little HTML.
    #[must_use]
    pub fn is_literal_quick(text: Option<&str>, html: Option<&str>) -> bool {
        text.is_some() || html.is_none_or(|html| html.len() <= QUICK)
    }

    /// Whether the mail has a text part. An empty one beside HTML is omitted.
    pub(crate) fn has_text(&self) -> bool {
        self.html.is_none() || !self.text.trim().is_empty()
    }

    /// Content of a mail without a template. It is used literally: `{{ braces }}` are not expanded.
    #[must_use]
    pub fn literal(subject: &str, text: Option<&str>, html: Option<&str>) -> Self {
        let text = text.map_or_else(|| html.map(text_of_html).unwrap_or_default(), str::to_owned);
        Self { subject: one_line(subject), html: html.map(str::to_owned), text, headers: Map::new() }
    }

    /// Adds the headers of the mail, which override those of the template.
    pub(crate) fn with_headers_of(mut self, mail: &Mail) -> Self {
        self.headers = merged_headers(mail.headers.clone(), &self.headers);
        self
    }
}

/// Trims a text and replaces each run of white space that has a line break or control character by
/// one space. A line break in a variable must neither end a header nor fail a mail.
pub(crate) fn one_line(text: &str) -> String {
    let text = text.trim();
    if !text.chars().any(is_break) {
        return text.to_owned();
    }
    let mut line = String::with_capacity(text.len());
    for word in text.split(is_break).map(str::trim).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// Whether a character can end a line: control characters, and the Unicode line and paragraph
/// separators.
fn is_break(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_line() {
        for (text, line) in [
            ("  Hello \n", "Hello"),
            ("Hello  world", "Hello  world"),
            ("Hello \r\n Bcc: x", "Hello Bcc: x"),
            ("a\u{2028}b\tc\0d", "a b c d"),
            ("\r\n", ""),
            ("Żółć 李雷 🎉", "Żółć 李雷 🎉"),
        ] {
            assert_eq!(one_line(text), line, "{text:?}");
        }
    }

    #[test]
    fn literal_content_is_not_rendered() {
        let rendered = Rendered::literal("{{ subject }}", Some("{% if x %}{{ y"), None);
        assert_eq!(rendered.subject, "{{ subject }}");
        assert_eq!(rendered.text, "{% if x %}{{ y");
        let rendered = Rendered::literal("s", None, Some("<p>Żółć &amp; 李雷</p>"));
        assert_eq!(rendered.text.trim(), "Żółć & 李雷");
    }
}

//! Replaces template tags by placeholders that survive an HTML parser.
//!
//! Template source is not HTML: a parser would move a `{% for %}` between two table rows out of the
//! table, and split an `{% if %}` in a tag. Each template tag is therefore replaced by a
//! placeholder that a parser preserves at its position.

/// Prefix of placeholders. A template that contains it is not inlined.
const PREFIX: &str = "postroom-tag-";

/// HTML with a placeholder for each template tag.
pub(super) struct Placeholders<'a> {
    pub(super) html: String,
    tags: Vec<&'a str>,
}

/// Context of a position in HTML.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HtmlContext {
    Text,
    /// Inside an element that can't contain comments.
    Raw,
    Tag(ElementContent),
    Quoted(char, ElementContent),
    Comment,
}

/// Context after a tag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ElementContent {
    Text,
    Raw,
}

/// Elements whose content is text.
const RAW: [&str; 4] = ["style", "script", "title", "textarea"];

/// Returns `None` if a template tag has no end or the source contains [`PREFIX`].
pub(super) fn with_placeholders(source: &str) -> Option<Placeholders<'_>> {
    if source.contains(PREFIX) {
        return None;
    }
    let mut replaced = Placeholders { html: String::with_capacity(source.len()), tags: Vec::new() };
    let mut context = HtmlContext::Text;
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        if is_template_tag(rest) {
            let (tag, after) = rest.split_at(template_tag_len(rest)?);
            replaced.push_placeholder(tag, context);
            rest = after;
        } else {
            context = context.after(rest, first);
            replaced.html.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Some(replaced)
}

impl<'a> Placeholders<'a> {
    fn push_placeholder(&mut self, tag: &'a str, context: HtmlContext) {
        let placeholder = placeholder(self.tags.len());
        self.tags.push(tag);
        match context {
            HtmlContext::Text => self.html.extend(["<!--", &placeholder, "-->"]),
            HtmlContext::Raw | HtmlContext::Tag(_) | HtmlContext::Quoted(..) | HtmlContext::Comment => {
                self.html.push_str(&placeholder);
            }
        }
    }

    /// Restores the tags. Returns `None` if an element or placeholder was moved, dropped or
    /// duplicated.
    pub(super) fn restore(&self, html: String) -> Option<String> {
        let html =
            if self.html.contains("<tbody") { html } else { html.replace("<tbody>", "").replace("</tbody>", "") };
        if outline(&self.html) != outline(&html) {
            return None;
        }
        Some(self.restored(&html))
    }

    /// Restores placeholders in all three forms: a comment, an attribute without a value, and bare.
    fn restored(&self, html: &str) -> String {
        let (mut restored, mut rest) = (String::with_capacity(html.len()), html);
        while let Some((before, after)) = rest.split_once(PREFIX) {
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            let tag = after[..digits].parse().ok().and_then(|number: usize| self.tags.get(number));
            let (before, after) = match (before.strip_suffix("<!--"), after[digits..].strip_prefix("x-->")) {
                (Some(before), Some(after)) => (before, after),
                _ => {
                    let after = after[digits..].strip_prefix('x').unwrap_or(&after[digits..]);
                    (before, after.strip_prefix("=\"\"").unwrap_or(after))
                }
            };
            restored.push_str(before);
            restored.push_str(tag.copied().unwrap_or_default());
            rest = after;
        }
        restored + rest
    }
}

impl HtmlContext {
    fn after(self, rest: &str, first: char) -> Self {
        match (self, first) {
            (Self::Text, '<') if rest.starts_with("<!--") => Self::Comment,
            (Self::Text, '<') if rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') => {
                let raw = RAW.contains(&word(&rest[1..]).to_ascii_lowercase().as_str());
                Self::Tag(if raw { ElementContent::Raw } else { ElementContent::Text })
            }
            (Self::Raw, '<') if rest.starts_with("</") => Self::Tag(ElementContent::Text),
            (Self::Comment, '-') if rest.starts_with("-->") => Self::Text,
            (Self::Tag(content), quote @ ('"' | '\'')) => Self::Quoted(quote, content),
            (Self::Quoted(quote, content), c) if c == quote => Self::Tag(content),
            (Self::Tag(ElementContent::Text), '>') => Self::Text,
            (Self::Tag(ElementContent::Raw), '>') => Self::Raw,
            (context, _) => context,
        }
    }
}

fn placeholder(number: usize) -> String {
    format!("{PREFIX}{number}x")
}

fn is_template_tag(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|start| text.starts_with(start))
}

/// Length of the template tag at the start of the text. The end delimiter may occur inside quotes.
fn template_tag_len(text: &str) -> Option<usize> {
    let end = match text.as_bytes().get(1)? {
        b'{' => "}}",
        b'%' => "%}",
        _ => return text.find("#}").map(|at| at + 2),
    };
    let mut quote = None;
    for (at, c) in text.char_indices().skip(2) {
        match quote {
            Some(open) if open == c => quote = None,
            Some(_) => {}
            None if text[at..].starts_with(end) => return Some(at + end.len()),
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None => {}
        }
    }
    None
}

/// Elements that a parser inserts if they are omitted.
const IMPLIED: [&str; 5] = ["html", "head", "body", "tbody", "colgroup"];

/// Sequence of start tags and placeholders.
fn outline(html: &str) -> Vec<String> {
    let starts = html.match_indices('<').map(|(at, _)| (at, word(&html[at + 1..]).to_ascii_lowercase()));
    let elements = starts
        .filter(|(_, name)| name.starts_with(|c: char| c.is_ascii_alphabetic()) && !IMPLIED.contains(&name.as_str()));
    let placeholders = html.match_indices(PREFIX).map(|(at, _)| (at, word(&html[at..]).to_owned()));
    let mut outline: Vec<_> = elements.chain(placeholders).collect();
    outline.sort_unstable();
    outline.into_iter().map(|(_, name)| name).collect()
}

/// Letters, digits and `-` at the start of a text.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_and_restoring_round_trips() {
        for source in [
            "<p {% if x %}class=\"a\"{% endif %} title='{{ \"}}\" }}'>{{ y }}</p>",
            "<title>{{ t }}</title><style>a { color: {{ c }} }</style><!-- {# x #} -->",
            "<table>{% for r in rows %}<tr><td>{{ r }}</td></tr>{% endfor %}</table>",
            "a < b {{ c }}",
        ] {
            let replaced = with_placeholders(source).expect(source);
            assert!(!replaced.html.contains(['{', '%']) || source.contains("color"), "{}", replaced.html);
            assert_eq!(replaced.restore(replaced.html.clone()).as_deref(), Some(source));
        }
    }

    #[test]
    fn a_placeholder_is_a_comment_only_where_comments_are_allowed() {
        let replaced = with_placeholders("<title>{{ a }}</title>{{ b }}<i x=\"{{ c }}\" {{ d }}>").expect("sound");
        let expected = "<title>postroom-tag-0x</title><!--postroom-tag-1x--><i x=\"postroom-tag-2x\" postroom-tag-3x>";
        assert_eq!(replaced.html, expected);
    }

    #[test]
    fn changed_html_is_rejected() {
        let replaced = with_placeholders("<table>{% if x %}<tr></tr>{% endif %}</table>").expect("sound");
        let moved = replaced.html.replace("<table>", "").replace("<tr>", "<table><tr>");
        assert_eq!(replaced.restore(moved), None);
        assert_eq!(replaced.restore(String::new()), None);
        assert!(with_placeholders("{{ x").is_none());
        assert!(with_placeholders("<!--postroom-tag-1x-->").is_none());
    }
}

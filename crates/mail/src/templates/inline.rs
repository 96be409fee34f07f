//! Inlining of CSS from `<style>` into elements, for mail programs that ignore `<style>`.
//!
//! The source of a template is inlined once, when it is loaded. A source that can't be inlined
//! safely is used unchanged. `<style>` stays in the source, for dark mode and narrow screens.

use css_inline::{CSSInliner, InlineOptions};

use super::{placeholders::with_placeholders, source::TemplateSources};
use crate::html::Shape;

/// Maximum number of files in a chain of `extends`; tera rejects cycles.
const MAX_DEPTH: usize = 16;

/// Limits above which a file is not inlined. Inlining builds a tree recursively and matches each
/// rule against each element.
const MOST_ELEMENTS: usize = 20_000;
const DEEPEST_ELEMENT: usize = 100;
const MOST_TRIES: usize = 5_000_000;
const DEEPEST_RULE: usize = 30;

/// Inlines the CSS of each HTML file, and of the files that it extends, into its elements. A
/// selector has to match within one file.
pub(super) fn with_inlined_css(mut sources: TemplateSources) -> TemplateSources {
    let html_files = sources.iter().filter(|(name, _)| name.ends_with(".html"));
    let inlined: Vec<_> = html_files
        .filter_map(|(name, source)| inline(source, &inherited_css(source, &sources)).map(|html| (name.clone(), html)))
        .collect();
    sources.extend(inlined);
    sources
}

/// Returns `None` if there is nothing to inline, or if it is not possible safely.
fn inline(source: &str, inherited: &str) -> Option<String> {
    if inherited.is_empty() && !source.contains("<style") {
        return None;
    }
    let replaced = with_placeholders(source)?;
    if !is_inlined_soon(&replaced.html, inherited) {
        return None;
    }
    let inliner = inliner();
    let html = if is_whole_page(source) {
        inliner.inline(&replaced.html)
    } else {
        inliner.inline_fragment(&replaced.html, inherited)
    };
    replaced.restore(html.ok()?)
}

fn inliner() -> CSSInliner<'static> {
    let options = InlineOptions { keep_style_tags: true, keep_link_tags: true, ..InlineOptions::default() };
    options.load_remote_stylesheets(false).build()
}

/// Whether inlining a document with its rules ends soon.
fn is_inlined_soon(html: &str, inherited: &str) -> bool {
    let Shape { elements, depth } = Shape::of(html);
    let own = styles(&html.to_ascii_lowercase());
    let rules = own.matches(['{', ',']).count() + inherited.matches(['{', ',']).count();
    elements <= MOST_ELEMENTS
        && depth <= DEEPEST_ELEMENT
        && rules.saturating_mul(elements) <= MOST_TRIES
        && nesting(&own).max(nesting(inherited)) <= DEEPEST_RULE
}

/// Maximum nesting of brackets.
fn nesting(css: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for byte in css.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

fn is_whole_page(source: &str) -> bool {
    source.to_ascii_lowercase().contains("<html")
}

/// CSS of the files that a file extends, the outermost first.
fn inherited_css(source: &str, sources: &TemplateSources) -> String {
    let parents = std::iter::successors(parent(source, sources), |parent| self::parent(parent, sources));
    let mut css: Vec<String> = parents.take(MAX_DEPTH).map(|parent| styles(parent)).collect();
    css.reverse();
    css.concat()
}

fn parent<'a>(source: &str, sources: &'a TemplateSources) -> Option<&'a String> {
    let (_, after) = source.split_once("extends")?;
    let quote = after.chars().find(|c| !c.is_whitespace()).filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let name = after.split(quote).nth(1)?;
    sources.get(name)
}

/// Content of the `<style>` elements of a file. Those with template tags are not inlined.
fn styles(source: &str) -> String {
    let blocks = source.split("<style").skip(1).filter_map(|after| {
        let (_, css) = after.split_once('>')?;
        css.split_once("</style").map(|(css, _)| css)
    });
    blocks.filter(|css| !css.contains("{{") && !css.contains("{%")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: &str = "<!DOCTYPE html>\n<html><head><title>{% block title %}{{ t }}{% endblock title %}</title>\n\
        <style>.a { color: red } td.b { color: blue } \
        @media (max-width: 9px) { .a { color: green !important } }</style></head>\n\
        <body><table><tr><td class=\"b\">{% block main %}{% endblock main %}</td></tr></table></body></html>";

    fn inlined(name: &str, files: &[(&str, &str)]) -> String {
        let sources = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        with_inlined_css(sources).remove(name).expect("the file")
    }

    #[test]
    fn a_layout_is_inlined_and_its_tags_stay() {
        let html = inlined("base.html", &[("base.html", LAYOUT)]);
        assert!(html.contains("<td class=\"b\" style=\"color: blue"), "{html}");
        assert!(html.contains("{% block main %}{% endblock main %}</td>"), "{html}");
        assert!(html.contains("<title>{% block title %}{{ t }}{% endblock title %}</title>"), "{html}");
        assert!(html.contains("@media (max-width: 9px)") && !html.contains("postroom-tag"), "{html}");
        assert!(!html.contains("tbody"), "{html}");
    }

    #[test]
    fn the_css_of_a_layout_is_inlined_into_a_page() {
        let page = "{% extends \"base.html\" %}\n{% block main %}\n{% for x in xs %}\
            <p class=\"a\">{{ x }} &amp; {{ y }}</p>{% endfor %}\n\
            <a href=\"{{ url }}\" {% if z %}title=\"{{ z }}\"{% endif %} class=\"a\">go</a>\n{% endblock main %}\n";
        let html = inlined("page.html", &[("base.html", LAYOUT), ("page.html", page)]);
        assert!(html.contains("<p class=\"a\" style=\"color: red"), "{html}");
        assert!(html.contains("href=\"{{ url }}\""), "{html}");
        assert!(
            html.contains("{% if z %}") && html.contains("title=\"{{ z }}\"") && html.contains("{% endif %}"),
            "{html}"
        );
        assert!(html.starts_with("{% extends \"base.html\" %}"), "{html}");
    }

    #[test]
    fn table_rows_within_a_loop_stay_in_their_table() {
        let page = "<html><style>td { color: red }</style><table>{% for x in xs %}\
            <tr><td>{{ x }}</td></tr>{% endfor %}</table></html>";
        let html = inlined("p.html", &[("p.html", page)]);
        assert!(html.contains("<table>{% for x in xs %}<tr><td style=\"color: red"), "{html}");
        assert!(html.contains("</td></tr>{% endfor %}</table>"), "{html}");
    }

    #[test]
    fn a_source_that_a_parser_would_break_is_unchanged() {
        let rows = "{% extends \"base.html\" %}{% block main %}<tr><td class=\"a\">x</td></tr>{% endblock main %}";
        assert_eq!(inlined("rows.html", &[("base.html", LAYOUT), ("rows.html", rows)]), rows);
        let remote =
            "<html><head><link rel=\"stylesheet\" href=\"https://example.org/a.css\"></head><body></body></html>";
        assert_eq!(inlined("r.html", &[("r.html", remote)]), remote);
    }
}

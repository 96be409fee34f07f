//! Kinds of elements.

/// Elements without content.
const VOID: [&str; 13] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];

/// Elements that end where another one starts.
#[derive(Clone, Copy)]
pub(super) struct Ended {
    /// Elements that end.
    pub(super) ends: &'static [&'static str],
    /// Whether the search for them ends at an element.
    pub(super) is_limit: fn(&str) -> bool,
}

/// Elements of a table.
pub(super) fn is_of_table(name: &str) -> bool {
    matches!(name, "caption" | "colgroup" | "tbody" | "td" | "tfoot" | "th" | "thead" | "tr")
}

/// Whether an end tag in an element does not end an outer element.
pub(super) fn is_scope(name: &str) -> bool {
    matches!(name, "caption" | "object" | "table" | "td" | "template" | "th")
}

/// Whether an element may end before those that were opened in it: `<b><p></b></p>`.
pub(super) fn is_formatting(name: &str) -> bool {
    matches!(
        name,
        "a" | "b" | "big" | "code" | "em" | "font" | "i" | "nobr" | "s" | "small" | "strike" | "strong" | "tt" | "u"
    )
}

fn is_list_scope(name: &str) -> bool {
    is_scope(name) || matches!(name, "article" | "blockquote" | "dir" | "dl" | "menu" | "ol" | "section" | "ul")
}

/// Whether an element has no content and no end tag.
pub(crate) fn is_void(name: &str) -> bool {
    VOID.contains(&name)
}

/// Whether an element starts a new line.
pub(super) fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "caption"
            | "center"
            | "dd"
            | "details"
            | "dialog"
            | "dir"
            | "div"
            | "dl"
            | "dt"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "header"
            | "hgroup"
            | "hr"
            | "legend"
            | "li"
            | "listing"
            | "main"
            | "menu"
            | "nav"
            | "ol"
            | "option"
            | "p"
            | "pre"
            | "section"
            | "select"
            | "summary"
            | "table"
            | "tbody"
            | "td"
            | "tfoot"
            | "th"
            | "thead"
            | "tr"
            | "ul"
            | "xmp"
    )
}

/// Elements that end where an element starts.
pub(super) fn ended_by(name: &str) -> impl Iterator<Item = Ended> {
    let (ends, is_limit): (&'static [&'static str], fn(&str) -> bool) = match name {
        "a" => (&["a"], |name| is_block(name) || is_scope(name)),
        "body" => (&["head"], |_| false),
        "dd" | "dt" => (&["dd", "dt"], is_list_scope),
        "li" => (&["li"], is_list_scope),
        "option" => (&["option"], |name| matches!(name, "optgroup" | "select")),
        "td" | "th" => (&["td", "th"], |name| matches!(name, "table" | "template" | "tr")),
        "tr" => (&["td", "th", "tr"], |name| matches!(name, "table" | "tbody" | "template" | "tfoot" | "thead")),
        "tbody" | "thead" | "tfoot" => {
            (&["caption", "colgroup", "tbody", "td", "tfoot", "th", "thead", "tr"], |name| {
                matches!(name, "table" | "template")
            })
        }
        _ => (&[], |_| true),
    };
    let by_blocks = is_block(name).then_some(BY_BLOCKS);
    std::iter::once(Ended { ends, is_limit }).chain(by_blocks.into_iter().flatten())
}

/// Elements that end where a block starts: a paragraph, and pictures, which contain no blocks.
const BY_BLOCKS: [Ended; 2] = [
    Ended {
        ends: &["math", "svg"],
        is_limit: |name| is_scope(name) || matches!(name, "annotation-xml" | "desc" | "foreignobject"),
    },
    Ended { ends: &["p"], is_limit: |name| is_scope(name) || matches!(name, "button" | "html" | "marquee") },
];

//! Kinds of elements.

/// Elements without content.
const VOID: [&str; 13] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];

/// Elements that end where one of these starts.
pub(super) struct Ended {
    /// Elements that end.
    pub(super) ends: &'static [&'static str],
    /// Elements whose content is not searched for them.
    pub(super) within: &'static [&'static str],
}

/// Containers through which no paragraph ends.
const P_SCOPE: [&str; 9] = ["button", "caption", "html", "marquee", "object", "table", "td", "template", "th"];
const LIST_SCOPE: [&str; 12] =
    ["article", "blockquote", "caption", "dir", "dl", "menu", "ol", "section", "table", "td", "th", "ul"];

/// Elements in which no end tag ends an outer element, except one of a table's own elements.
pub(super) const CELL_SCOPE: [&str; 6] = ["caption", "object", "table", "td", "template", "th"];
/// Elements of a table.
pub(super) const OF_TABLE: [&str; 8] = ["caption", "colgroup", "tbody", "td", "tfoot", "th", "thead", "tr"];

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

/// Elements of its own kind that end where an element starts.
pub(super) fn ended_by(name: &str) -> Option<Ended> {
    let (ends, within): (&[_], &[_]) = match name {
        "a" => (&["a"], &["caption", "object", "td", "template", "th"]),
        "body" => (&["head"], &[]),
        "dd" | "dt" => (&["dd", "dt"], &LIST_SCOPE),
        "li" => (&["li"], &LIST_SCOPE),
        "option" => (&["option"], &["optgroup", "select"]),
        "td" | "th" => (&["td", "th"], &["table", "template", "tr"]),
        "tr" => (&["td", "th", "tr"], &["table", "tbody", "template", "tfoot", "thead"]),
        "tbody" | "thead" | "tfoot" => {
            (&["caption", "colgroup", "tbody", "td", "tfoot", "th", "thead", "tr"], &["table", "template"])
        }
        _ => return None,
    };
    Some(Ended { ends, within })
}

/// The paragraph that ends where a block starts.
pub(super) fn paragraph_before(name: &str) -> Option<Ended> {
    is_block(name).then_some(Ended { ends: &["p"], within: &P_SCOPE })
}

//! Plain text for mails that have none.

/// Where lines of a plain text end.
const WIDTH: usize = 78;

/// The text of an HTML body, its links listed below. Layout tables are read cell by cell.
pub(crate) fn text_of_html(html: &str) -> String {
    let config = html2text::config::plain_no_decorate().raw_mode(true).link_footnotes(true).allow_width_overflow();
    match config.string_from_read(html.as_bytes(), WIDTH) {
        Ok(text) => tidy(&text),
        // Only for a width that is too narrow, which may overflow here.
        Err(_) => String::new(),
    }
}

/// No space at the ends of lines, at most one empty line in a row.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.trim().lines().map(str::trim_end) {
        empty = if line.is_empty() { empty + 1 } else { 0 };
        if empty < 2 {
            tidy.push_str(line);
            tidy.push('\n');
        }
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_a_letter() {
        let html = "<html><head><style>p { color: red }</style><title>T</title></head><body><table><tr><td>\
            <h1>Cześć</h1><p>O&#39;Brien &amp; &lt;b&gt;, <a href=\"https://example.org/x?a=1&amp;b=2\">click here</a>.</p>\
            </td></tr><tr><td>Bye</td></tr></table></body></html>";
        let text = text_of_html(html);
        assert!(text.contains("O'Brien & <b>, "), "{text}");
        assert!(text.contains("https://example.org/x?a=1&b=2"), "{text}");
        assert!(!text.contains("color") && !text.contains('│') && !text.contains("\n\n\n"), "{text}");
    }
}

//! Value of a field.

use std::borrow::Cow;

/// Returns the value of a field: without the blanks and byte order marks around it, without Excel's
/// `="…"`, and empty for MySQL's and PostgreSQL's `\N` (NULL).
pub(super) fn value(field: &str) -> Cow<'_, str> {
    let text = field.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    match text.as_bytes().first() {
        Some(b'=') => unwrapped(text),
        Some(b'\\') if text == "\\N" => Cow::Borrowed(""),
        _ => Cow::Borrowed(text),
    }
}

/// Unwraps a formula that is one text, by which programs keep Excel from reading a number.
fn unwrapped(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if inner.replace("\"\"", "").contains('"') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(inner.replace("\"\"", "\"").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn values_of_fields() {
        for (field, expected) in [
            ("", ""),
            (" \t ", ""),
            ("  Ann Lee\u{a0}\u{3000}", "Ann Lee"),
            ("\u{feff}email", "email"),
            ("two\nlines\n", "two\nlines"),
            ("=\"00123\"", "00123"),
            (" =\"00123\" ", "00123"),
            ("=\"say \"\"hi\"\"\"", "say \"hi\""),
            ("=\"\"", ""),
            ("=\"", "=\""),
            ("=\"a\"&\"b\"", "=\"a\"&\"b\""),
            ("=1+2", "=1+2"),
            ("=", "="),
            ("\\N", ""),
            ("\\Nx", "\\Nx"),
            ("a\\N", "a\\N"),
            ("NULL", "NULL"),
        ] {
            assert_eq!(value(field), expected, "{field:?}");
        }
    }
}

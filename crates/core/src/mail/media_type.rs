//! MIME type of an attachment.

/// A MIME type: `type/subtype` with optional parameters (RFC 2045 §5.1), in printable ASCII. It is
/// never `multipart`, because an attachment has no parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType<'a> {
    essence: &'a str,
    /// Names and values, as written; a value may be quoted.
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> MediaType<'a> {
    /// Parses a MIME type; returns `None` if it does not follow the grammar. A trailing semicolon
    /// is allowed.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (essence, rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        let essence = essence.trim_matches(' ');
        let (kind, subtype) = essence.split_once('/')?;
        let is_valid = is_token(kind) && is_token(subtype) && !kind.eq_ignore_ascii_case("multipart");
        is_valid.then_some(())?;
        let mut parameters = Vec::new();
        let mut rest = rest;
        while let Some(after) = rest.strip_prefix(';') {
            let after = after.trim_ascii_start();
            if after.is_empty() {
                rest = after;
                break;
            }
            let (parameter, end) = parameter(after)?;
            parameters.push(parameter);
            rest = end.trim_ascii_start();
        }
        rest.is_empty().then_some(Self { essence, parameters })
    }

    /// Returns the type of a known `type/subtype`, without parameters.
    #[must_use]
    pub const fn of_essence(essence: &'static str) -> Self {
        Self { essence, parameters: Vec::new() }
    }

    /// Returns `type/subtype`.
    #[must_use]
    pub fn essence(&self) -> &'a str {
        self.essence
    }

    /// Whether this is the type `essence`, in lower or upper case.
    #[must_use]
    pub fn is(&self, essence: &str) -> bool {
        self.essence.eq_ignore_ascii_case(essence)
    }

    /// Whether this is a subtype of `kind`, such as `text`.
    #[must_use]
    pub fn is_kind(&self, kind: &str) -> bool {
        self.essence.split_once('/').is_some_and(|(found, _)| found.eq_ignore_ascii_case(kind))
    }

    /// Returns names and values, as written.
    pub fn parameters(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.parameters.iter().copied()
    }

    /// Returns the value of a parameter, as written.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}

/// Splits the text after a semicolon into name and value of the first parameter, and the rest.
fn parameter(text: &str) -> Option<((&str, &str), &str)> {
    let (name, value) = text.split_once('=').filter(|(name, _)| is_token(name))?;
    let end = match value.strip_prefix('"') {
        Some(quoted) => quoted_len(quoted.as_bytes())? + 1,
        None => value.bytes().position(|byte| !is_token_byte(byte)).unwrap_or(value.len()),
    };
    let (value, rest) = value.split_at(end);
    (!value.is_empty()).then_some(((name, value), rest))
}

/// Length of the rest of a quoted string, with its closing quote.
fn quoted_len(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += match text.get(at..)? {
            [b'"', ..] => return Some(at + 1),
            [b'\\', b' '..=b'~', ..] => 2,
            [b'\\', ..] | [] => return None,
            [b' '..=b'~', ..] => 1,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::MediaType;

    #[test]
    fn media_types_follow_the_grammar() {
        for (valid, essence, parameters) in [
            ("application/pdf", "application/pdf", vec![]),
            ("image/svg+xml", "image/svg+xml", vec![]),
            ("text/plain; charset=utf-8", "text/plain", vec![("charset", "utf-8")]),
            (
                "text/calendar; method=REQUEST;charset=\"utf-8\"",
                "text/calendar",
                vec![("method", "REQUEST"), ("charset", "\"utf-8\"")],
            ),
            ("application/x-a; name=\"a \\\" ; b\"", "application/x-a", vec![("name", "\"a \\\" ; b\"")]),
            ("text/plain;", "text/plain", vec![]),
            ("text/plain; a=b ;", "text/plain", vec![("a", "b")]),
            (" text/plain ", "text/plain", vec![]),
        ] {
            let found = MediaType::parse(valid).unwrap_or_else(|| panic!("{valid:?}"));
            assert_eq!((found.essence(), found.parameters().collect::<Vec<_>>()), (essence, parameters), "{valid:?}");
        }
        for invalid in [
            "",
            "foo",
            "/",
            "text/",
            "/plain",
            "text/plain/x",
            "text/pl ain",
            "text/plain; charset",
            "text/plain; charset=",
            "text/plain; a=\"b",
            "text/plain; a=\"b\\",
            "text/plain; a=\"b\"c",
            "text/plain;; a=b",
            "text/plain a=b",
            "text/plain\r\nX: y",
            "text/plain; a=\"\r\n\"",
            "text/plain; a=ż",
            "text/żółw",
            "multipart/mixed; boundary=x",
            "Multipart/mixed",
            " multipart/mixed",
        ] {
            assert_eq!(MediaType::parse(invalid), None, "{invalid:?}");
        }
        let found = MediaType::parse("Text/Plain; CharSet=x").expect("a type");
        assert!(found.is("text/plain") && found.is_kind("text") && !found.is_kind("tex"));
        assert_eq!((found.parameter("charset"), found.parameter("x")), (Some("x"), None));
    }
}

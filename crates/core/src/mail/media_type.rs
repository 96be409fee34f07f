//! Grammar of the MIME type of an attachment.

/// Whether a text is `type/subtype` with optional parameters (RFC 2045 §5.1), in printable ASCII.
///
/// Multipart types are refused, because an attachment has no parts.
pub(super) fn is_media_type(text: &str) -> bool {
    let mut pieces = text.splitn(2, ';');
    let Some((kind, subtype)) = pieces.next().and_then(|head| head.trim_matches(' ').split_once('/')) else {
        return false;
    };
    is_token(kind)
        && is_token(subtype)
        && !kind.eq_ignore_ascii_case("multipart")
        && pieces.next().is_none_or(|rest| are_parameters(rest.as_bytes()))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}

/// Whether `rest` is a list of `name=value` parameters separated by semicolons. A trailing
/// semicolon is allowed.
fn are_parameters(mut rest: &[u8]) -> bool {
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return true;
        }
        let Some(after) = parameter(rest) else { return false };
        match after.trim_ascii_start() {
            [] => return true,
            [b';', more @ ..] => rest = more,
            _ => return false,
        }
    }
}

/// Returns the text after the first parameter, or `None` if there is no parameter.
fn parameter(text: &[u8]) -> Option<&[u8]> {
    let text = after_token(text)?.strip_prefix(b"=")?;
    match text.strip_prefix(b"\"") {
        Some(quoted) => after_quoted(quoted),
        None => after_token(text),
    }
}

fn after_token(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(text.len());
    (end > 0).then(|| &text[end..])
}

fn after_quoted(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        text = match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', b' '..=b'~', rest @ ..] => rest,
            [b'\\', ..] | [] => return None,
            [b' '..=b'~', rest @ ..] => rest,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::is_media_type;

    #[test]
    fn media_types_follow_the_grammar() {
        for valid in [
            "application/pdf",
            "image/svg+xml",
            "text/plain; charset=utf-8",
            "text/calendar; method=REQUEST;charset=\"utf-8\"",
            "application/x-a; name=\"a \\\" ; b\"",
            "text/plain;",
            " text/plain ",
        ] {
            assert!(is_media_type(valid), "{valid:?}");
        }
        for invalid in [
            "",
            "nonsense",
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
            "text/plain\r\nX: y",
            "text/plain; a=\"\r\n\"",
            "text/plain; a=ż",
            "text/żółw",
            "multipart/mixed; boundary=x",
            "Multipart/mixed",
            " multipart/mixed",
        ] {
            assert!(!is_media_type(invalid), "{invalid:?}");
        }
    }
}

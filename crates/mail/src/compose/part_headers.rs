//! Headers of parts: media type and file name.

use postroom_core::MediaType;

use super::encoded_word::encoded_words;

/// Columns of a line of parameters, without the blank before them.
const COLUMNS: usize = 75;

/// Headers of one part, being written.
#[derive(Debug, Default)]
pub(super) struct PartHeaders(String);

impl PartHeaders {
    pub(super) fn into_string(self) -> String {
        self.0
    }

    /// Adds a header whose value is short ASCII.
    pub(super) fn plain(&mut self, name: &str, value: &str) {
        self.0.extend([name, ": ", value, "\r\n"]);
    }

    /// Adds `Content-Type` with these parameters, each already quoted where necessary, and the file
    /// name.
    pub(super) fn content_type(&mut self, essence: &str, parameters: &[(&str, &str)], filename: Option<&str>) {
        let mut value = Parameters::new("Content-Type", essence);
        parameters.iter().for_each(|(name, text)| value.add(&format!("{name}={text}")));
        if let Some(filename) = filename {
            value.name(filename);
        }
        self.0.push_str(&value.finish());
    }

    /// Adds `Content-Disposition` with the file name.
    pub(super) fn disposition(&mut self, kind: &str, filename: &str) {
        let mut value = Parameters::new("Content-Disposition", kind);
        value.filename(filename);
        self.0.push_str(&value.finish());
    }
}

/// Parameters of a media type that a user gave, except those that the composer sets.
pub(super) fn others<'a>(media_type: &MediaType<'a>, ours: &[&str]) -> Vec<(&'a str, &'a str)> {
    let is_ours = |name: &str| ours.iter().any(|own| own.eq_ignore_ascii_case(name));
    media_type.parameters().filter(|(name, _)| !is_ours(name)).collect()
}

/// Header value with parameters, folded between them.
struct Parameters {
    text: String,
    column: usize,
}

impl Parameters {
    fn new(name: &str, value: &str) -> Self {
        let text = format!("{name}: {value}");
        Self { column: text.len(), text }
    }

    fn finish(self) -> String {
        self.text + "\r\n"
    }

    /// Adds a parameter, on a new line if it would not fit.
    fn add(&mut self, parameter: &str) {
        let width = parameter.len() + 1;
        let fits = self.column + 1 + width <= COLUMNS + 1;
        self.text.push_str(if fits { "; " } else { ";\r\n " });
        self.text.push_str(parameter);
        self.column = if fits { self.column + 1 + width } else { width };
    }

    /// Adds `name`, which older readers use. A quoted name beyond ASCII or of more than a line
    /// holds encoded words: not in RFC 2047, but what mail programs read and write.
    fn name(&mut self, filename: &str) {
        if is_plain(filename) {
            return self.add(&format!("name=\"{filename}\""));
        }
        let words = encoded_words(filename, "\r\n name=\"".len());
        self.text.extend([";\r\n name=\"", &words, "\""]);
        self.column = COLUMNS;
    }

    /// Adds `filename`: quoted, or in the extended form and in pieces (RFC 2231 §4.1).
    fn filename(&mut self, filename: &str) {
        if is_plain(filename) {
            return self.add(&format!("filename=\"{filename}\""));
        }
        let pieces = escaped_pieces(filename);
        for (at, piece) in pieces.iter().enumerate() {
            let charset = if at == 0 { "utf-8''" } else { "" };
            let number = if pieces.len() > 1 { format!("*{at}") } else { String::new() };
            self.add(&format!("filename{number}*={charset}{piece}"));
        }
    }
}

/// Whether a name can be a short quoted string that no reader mistakes for an encoded word. Some
/// readers do not remove a backslash before a quote, so a name with a quote is encoded.
fn is_plain(filename: &str) -> bool {
    const SHORT: usize = 60;
    filename.len() <= SHORT
        && filename.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte))
        && !filename.contains("=?")
}

/// Percent-encodes a name in pieces, each for one line. A character is never in two pieces: some
/// readers decode each piece alone.
fn escaped_pieces(filename: &str) -> Vec<String> {
    const PIECE: usize = 50;
    let mut pieces = vec![String::new()];
    for c in filename.chars() {
        let is_literal = c.is_ascii_alphanumeric() || "-._".contains(c);
        let width = if is_literal { 1 } else { 3 * c.len_utf8() };
        if pieces.last().is_some_and(|piece| piece.len() + width > PIECE) {
            pieces.push(String::new());
        }
        let Some(piece) = pieces.last_mut() else { continue };
        if is_literal {
            piece.push(c);
        } else {
            let mut buffer = [0; 4];
            piece.extend(c.encode_utf8(&mut buffer).bytes().map(|byte| format!("%{byte:02X}")));
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filename: &str, name: &str, disposition: &str) {
        let mut headers = PartHeaders::default();
        headers.content_type("application/pdf", &[], Some(filename));
        headers.disposition("attachment", filename);
        let headers = headers.into_string();
        let expected =
            format!("Content-Type: application/pdf;{name}\r\nContent-Disposition: attachment;{disposition}\r\n");
        assert_eq!(headers, expected, "{filename}");
        assert!(headers.split("\r\n").all(|line| line.len() <= 78), "{headers}");
    }

    #[test]
    fn each_file_name_has_two_forms() {
        check("a.pdf", " name=\"a.pdf\"", " filename=\"a.pdf\"");
        check("a b (1).pdf", " name=\"a b (1).pdf\"", " filename=\"a b (1).pdf\"");
        check("żółw.pdf", "\r\n name=\"=?utf-8?b?xbzDs8WCdy5wZGY=?=\"", " filename*=utf-8''%C5%BC%C3%B3%C5%82w.pdf");
        check("a\"b\".pdf", "\r\n name=\"=?utf-8?b?YSJiIi5wZGY=?=\"", " filename*=utf-8''a%22b%22.pdf");
        check(
            "=?utf-8?q?x?=.pdf",
            "\r\n name=\"=?utf-8?b?PT91dGYtOD9xP3g/PS5wZGY=?=\"",
            "\r\n filename*=utf-8''%3D%3Futf-8%3Fq%3Fx%3F%3D.pdf",
        );
        let long = "a".repeat(70) + ".pdf";
        let words = ["YWFh".repeat(13), "YWFh".repeat(10) + "YS5wZGY="].map(|text| format!("=?utf-8?b?{text}?="));
        check(
            &long,
            &format!("\r\n name=\"{}\"", words.join("\r\n ")),
            &format!("\r\n filename*0*=utf-8''{};\r\n filename*1*={}.pdf", "a".repeat(50), "a".repeat(20)),
        );
    }

    #[test]
    fn a_character_is_never_in_two_pieces() {
        let pieces = escaped_pieces(&("a".to_owned() + &"ż".repeat(20)));
        assert_eq!(pieces, ["a".to_owned() + &"%C5%BC".repeat(8), "%C5%BC".repeat(8), "%C5%BC".repeat(4)]);
    }

    #[test]
    fn long_names_are_folded() {
        for name in ["ż".repeat(127), "=?ż".repeat(60), "\"".repeat(255), "a".repeat(255), "🎉".repeat(63)] {
            let mut headers = PartHeaders::default();
            headers.content_type("application/octet-stream", &[("a", "b"), ("c", "d")], Some(&name));
            headers.disposition("attachment", &name);
            let headers = headers.into_string();
            assert!(headers.split("\r\n").all(|line| line.len() <= 78), "{headers}");
        }
    }

    #[test]
    fn parameters_are_folded_between_each_other() {
        let mut headers = PartHeaders::default();
        let value = "v".repeat(30);
        headers.content_type("text/calendar", &[("charset", "utf-8"), ("a", &value), ("b", &value)], Some("a.ics"));
        assert_eq!(
            headers.into_string(),
            format!("Content-Type: text/calendar; charset=utf-8; a={value};\r\n b={value}; name=\"a.ics\"\r\n")
        );
        let media_type = MediaType::parse("text/plain; Name=x; format=flowed").expect("a type");
        assert_eq!(others(&media_type, &["name", "charset"]), [("format", "flowed")]);
    }
}

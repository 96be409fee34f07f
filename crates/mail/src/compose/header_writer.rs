//! Header section of a message or part: folded, in lines of at most 998 octets, with encoded words
//! only where RFC 2047 allows them.

use postroom_core::{FieldBody, Mailbox, foldable_pieces};

use super::encoded_word::{encoded_width, encoded_words, last_line_len};

/// Column at which lines are folded (RFC 2047 §2).
pub(super) const LINE: usize = 76;
/// Maximum length of a line without CRLF (RFC 5322 §2.1.1).
const LONGEST_LINE: usize = 998;
/// Maximum length of a word that is not encoded although encoding is possible. With the longest
/// name, it fits in a line.
const LONGEST_WORD: usize = 900;

/// Headers being written, and the column reached.
#[derive(Debug, Default)]
pub(super) struct HeaderWriter {
    text: String,
    column: usize,
}

impl HeaderWriter {
    pub(super) fn with_capacity(octets: usize) -> Self {
        Self { text: String::with_capacity(octets), column: 0 }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }

    /// Writes a header of any form.
    pub(super) fn form(&mut self, name: &str, form: &FieldBody<'_>) {
        match form {
            FieldBody::Mailboxes(list) => self.mailboxes(name, list),
            FieldBody::Literal(value) => self.literal(name, value),
            FieldBody::Named { text, id } => self.named(name, text, id),
            FieldBody::Text(value) => self.text(name, value),
        }
    }

    /// Writes a structured value, which is printable ASCII. The first word stays beside the name if
    /// a line can hold both: some signers of DKIM fail on a value that begins on its second line.
    pub(super) fn literal(&mut self, name: &str, value: &str) {
        self.begin(name);
        for (at, piece) in foldable_pieces(value).enumerate() {
            let limit = if at == 0 { LONGEST_LINE } else { LINE };
            if self.column + piece.len() > limit {
                self.fold(!piece.starts_with([' ', '\t']));
            }
            self.push(piece);
        }
        self.end();
    }

    /// Writes unstructured text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        if is_plain(value) {
            return self.literal(name, value);
        }
        self.begin(name);
        self.push_encoded(value);
        self.end();
    }

    /// Writes an address list (RFC 5322 §3.4), unless it is empty. It is folded between addresses,
    /// and within a name only if that is long.
    pub(super) fn mailboxes(&mut self, name: &str, list: &[Mailbox]) {
        if list.is_empty() {
            return;
        }
        self.begin(name);
        for (at, mailbox) in list.iter().enumerate() {
            let end = if at + 1 < list.len() { "," } else { "" };
            match mailbox.name.as_deref().filter(|name| !name.is_empty()) {
                None => self.word(at == 0, &[mailbox.address.as_str(), end]),
                Some(name) => {
                    self.phrase(at == 0, name);
                    self.word(false, &["<", mailbox.address.as_str(), ">", end]);
                }
            }
        }
        self.end();
    }

    /// Writes a text and an identifier.
    fn named(&mut self, name: &str, text: &str, id: &str) {
        self.begin(name);
        self.phrase(true, text);
        self.word(false, &["<", id, ">"]);
        self.end();
    }

    fn begin(&mut self, name: &str) {
        self.text.extend([name, ": "]);
        self.column = name.len() + 2;
    }

    fn end(&mut self) {
        self.text.push_str("\r\n");
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.len();
    }

    /// Begins a new line.
    fn fold(&mut self, needs_blank: bool) {
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push_str(if needs_blank { "\r\n " } else { "\r\n" });
        self.column = usize::from(needs_blank);
    }

    /// Adds a word after a space, or on a new line if it would exceed the line length.
    fn word(&mut self, is_first: bool, pieces: &[&str]) {
        let width = pieces.iter().map(|piece| piece.len()).sum();
        self.part(is_first, width);
        pieces.iter().for_each(|piece| self.push(piece));
    }

    /// Adds a space, or a line break if text of this width would not fit.
    fn part(&mut self, is_first: bool, width: usize) {
        match is_first {
            true => {}
            false if self.column + 1 + width <= LINE => self.push(" "),
            false => self.fold(true),
        }
    }

    /// Adds a name as atoms, as a quoted string if it has other ASCII characters, or as encoded
    /// words.
    fn phrase(&mut self, is_first: bool, name: &str) {
        let is_spaced = !name.starts_with(' ') && !name.ends_with(' ') && !name.contains("  ");
        let is_short = name.split(' ').all(|word| word.len() <= LONGEST_WORD / 2);
        let is_ascii = name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !is_ascii || !is_spaced || !is_short || name.contains("=?") {
            // White space between two encoded words is not part of the name (RFC 2047 §6.2). Some
            // readers, such as Python before 3.13, insert a space, so a name is one word if it
            // fits.
            self.part(is_first, encoded_width(name));
            return self.push_encoded(name);
        }
        let is_atoms = name.bytes().all(|byte| byte == b' ' || is_atom(byte));
        if is_atoms {
            name.split(' ').enumerate().for_each(|(at, word)| self.word(is_first && at == 0, &[word]));
        } else {
            let quoted = format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
            quoted.split(' ').enumerate().for_each(|(at, word)| self.word(is_first && at == 0, &[word]));
        }
    }

    fn push_encoded(&mut self, value: &str) {
        let words = encoded_words(value, self.column);
        self.column = last_line_len(&words).unwrap_or(self.column + words.len());
        self.text.push_str(&words);
    }
}

/// Characters of an atom (RFC 5322 §3.2.3).
fn is_atom(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// Whether text can be written unencoded: printable ASCII in words short enough to fold, and
/// nothing that resembles an encoded word.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && !value.contains("=?")
        && !value.starts_with(' ')
        && !value.ends_with(' ')
        && value.split(' ').all(|word| word.len() <= LONGEST_WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut HeaderWriter)) -> String {
        let mut headers = HeaderWriter::default();
        write(&mut headers);
        String::from_utf8(headers.into_bytes()).expect("UTF-8")
    }

    #[track_caller]
    fn check(name: &str, value: &str, expected: &str) {
        let form = FieldBody::of(name, value).unwrap_or_else(|error| panic!("{error}"));
        let header = written(|headers| headers.form(name, &form));
        assert_eq!(header, format!("{name}: {expected}\r\n"), "{value}");
        let long = header.lines().find(|line| line.len() > LONGEST_LINE);
        assert_eq!(long, None);
    }

    #[test]
    fn address_headers_never_encode_an_address() {
        for (value, expected) in [
            ("a@example.org", "a@example.org"),
            ("Ann <a@example.org>", "Ann <a@example.org>"),
            ("Ann Smith <a@example.org>", "Ann Smith <a@example.org>"),
            ("O'Brien & Sons <a@example.org>", "O'Brien & Sons <a@example.org>"),
            ("\"Acme, Inc.\" <a@example.org>", "\"Acme, Inc.\" <a@example.org>"),
            ("\"J. Doe\" <a@example.org>", "\"J. Doe\" <a@example.org>"),
            ("\"Smith, \\\"A\\\" \\\\\" <a@example.org>", "\"Smith, \\\"A\\\" \\\\\" <a@example.org>"),
            ("\"a@b.org\" <a@example.org>", "\"a@b.org\" <a@example.org>"),
            ("Żółć <a@example.org>", "=?utf-8?b?xbvDs8WCxIc=?= <a@example.org>"),
            ("\"a  b\" <a@example.org>", "=?utf-8?b?YSAgYg==?= <a@example.org>"),
            ("\"=?utf-8?q?x?=\" <a@example.org>", "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?= <a@example.org>"),
            ("Żółć <a@żółw.pl>", "=?utf-8?b?xbvDs8WCxIc=?= <a@xn--w-uga1v8h.pl>"),
        ] {
            for name in ["Sender", "Return-Receipt-To", "Resent-From", "Errors-To"] {
                check(name, value, expected);
            }
        }
        let name = "Disposition-Notification-To";
        check(name, "\"Acme, Inc.\" <a@example.org>", "\"Acme, Inc.\" <a@example.org>");
        check(
            name,
            &format!("{} <a@example.org>", "ż".repeat(9)),
            "=?utf-8?b?xbzFvMW8xbzFvMW8xbzFvMW8?=\r\n <a@example.org>",
        );
        let two = "Ann <a@example.org>, \"Ben, B.\" <b@example.org>";
        check("Resent-To", two, two);
    }

    #[test]
    fn structured_headers_are_literal_and_folded_at_blanks() {
        let (long, ids) = ("a".repeat(900), ["<0123456789abcdefghij@mail.example.org>"; 4]);
        let two = format!("<https://example.org/u?t={long}>,<mailto:u@example.org>");
        let folded = format!("<https://example.org/u?t={long}>,\r\n <mailto:u@example.org>");
        for (name, value, expected) in [
            ("List-Unsubscribe", two.as_str(), folded.as_str()),
            ("List-Unsubscribe", "<https://example.org/=?utf-8?q?x?=>", "<https://example.org/=?utf-8?q?x?=>"),
            ("List-Unsubscribe", "<https://żółw.pl/ü>", "<https://xn--w-uga1v8h.pl/%C3%BC>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click", "List-Unsubscribe=One-Click"),
            ("References", &ids.join(" "), &ids.join("\r\n ")),
            ("In-Reply-To", "a@example.org", "<a@example.org>"),
            ("List-Id", "Acme, Inc. <a.example.org>", "\"Acme, Inc.\" <a.example.org>"),
            ("List-Id", "Żółć <a.żółw.pl>", "=?utf-8?b?xbvDs8WCxIc=?= <a.xn--w-uga1v8h.pl>"),
            ("Feedback-ID", "campaign:customer:=?x?=:sender", "campaign:customer:=?x?=:sender"),
            (
                "X-SMTPAPI",
                "{\"to\": [\"a@example.org\"],  \"category\": \"a-long-name-of-a-category\"}",
                "{\"to\": [\"a@example.org\"],  \"category\":\r\n \"a-long-name-of-a-category\"}",
            ),
        ] {
            check(name, value, expected);
        }
        // A first word that no line can hold beside the name begins on the next one.
        let longest = format!("<https://example.org/{}>", "a".repeat(975));
        let form = FieldBody::of("List-Unsubscribe", &longest).expect("valid");
        let header = written(|headers| headers.form("List-Unsubscribe", &form));
        assert_eq!(header, format!("List-Unsubscribe:\r\n {longest}\r\n"));
    }

    #[test]
    fn text_is_encoded_only_beyond_ascii() {
        let words = "word ".repeat(20) + "end";
        let folded = format!("{}word\r\n {}end", "word ".repeat(12), "word ".repeat(7));
        for (name, value, expected) in [
            ("Comments", "Hello  world", "Hello  world"),
            ("X-Foo", "a, \"b\" <c@example.org>", "a, \"b\" <c@example.org>"),
            ("Comments", "Żółć", "=?utf-8?b?xbvDs8WCxIc=?="),
            ("X-Foo", "=?utf-8?q?x?=", "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?="),
            ("X-Foo", " a", "=?utf-8?b?IGE=?="),
            ("X-Foo", "a\tb", "=?utf-8?b?YQli?="),
            ("X-Foo", &"a".repeat(900), &"a".repeat(900)),
            ("Comments", &words, &folded),
        ] {
            check(name, value, expected);
        }
    }

    #[test]
    fn lines_stay_within_their_limits() {
        let longest_name = "X-A-Header-With-A-Name-That-Is-As-Long-As-The-Name-Of-A-Header-May-Ever-Be-X";
        assert_eq!(longest_name.len(), postroom_core::bounds::HEADER_NAME);
        for value in
            ["Żółć ".repeat(60), "🎉".repeat(90), "a".repeat(998), "word ".repeat(199) + "end", "=?utf-8?q?x?=".into()]
        {
            for name in ["Subject", longest_name] {
                let header = written(|headers| headers.text(name, &value));
                for line in header.split("\r\n") {
                    let most = if name.len() > 60 { 120 } else { 78 };
                    assert!(line.len() <= most && !line.contains(['\r', '\n']), "{} {line}", line.len());
                }
            }
        }
        for name in ["\"".repeat(998), "a".repeat(998), "a ".repeat(499) + "a", "ż".repeat(499), "\u{202e}".repeat(333)]
        {
            let address = format!("{}@{}.example.org", "a".repeat(64), "b".repeat(60));
            let mailbox = Mailbox { name: Some(name), address: address.parse().expect("an address") };
            let header = written(|headers| headers.mailboxes("Disposition-Notification-To", &[mailbox]));
            assert!(header.lines().all(|line| line.len() <= LONGEST_LINE), "{header}");
            assert!(header.ends_with(&format!("<{address}>\r\n")), "{header}");
        }
    }

    #[test]
    fn lists_are_folded_between_addresses() {
        for name in ["", "Ann", "Ann Smith", "O'Brien & Sons", "Żółć gęślą jaźń, Ёлка", "李雷"] {
            let list: Vec<Mailbox> = (0..300)
                .map(|n| Mailbox {
                    name: (!name.is_empty()).then(|| name.to_owned()),
                    address: format!("user{n}@example.org").parse().expect("an address"),
                })
                .collect();
            let header = written(|headers| headers.mailboxes("To", &list));
            assert!(header.lines().all(|line| line.len() <= 78), "{header}");
            assert_eq!(header.matches('@').count(), 300);
        }
        assert_eq!(written(|headers| headers.mailboxes("To", &[])), "");
    }
}

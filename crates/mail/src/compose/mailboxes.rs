//! Address lists (RFC 5322 §3.4), folded between addresses.

use lettre::message::header::{HeaderName, HeaderValue, Headers};
use postroom_core::Mailbox;

use super::header::{LINE, encoded_width, encoded_words, last_line_len};

/// Sets an address header, unless the list is empty.
pub(super) fn set_mailboxes(headers: &mut Headers, name: &'static str, mailboxes: &[Mailbox]) {
    if mailboxes.is_empty() {
        return;
    }
    let name = HeaderName::new_from_ascii_str(name);
    let list = folded(name.len() + 2, mailboxes);
    headers.insert_raw(HeaderValue::dangerous_new_pre_encoded(name, String::new(), list));
}

/// Formats the list; its first line starts at this column.
fn folded(column: usize, mailboxes: &[Mailbox]) -> String {
    let mut list = List { text: String::new(), column };
    for (at, mailbox) in mailboxes.iter().enumerate() {
        let end = if at + 1 < mailboxes.len() { "," } else { "" };
        match mailbox.name.as_deref().filter(|name| !name.is_empty()) {
            None => list.add(&[mailbox.address.as_str(), end]),
            Some(name) => {
                list.add_name(name);
                list.add(&["<", mailbox.address.as_str(), ">", end]);
            }
        }
    }
    list.text
}

/// Header value being written, and the current column.
struct List {
    text: String,
    column: usize,
}

impl List {
    /// Adds a word after a space, or on a new line if it would exceed the line length.
    fn add(&mut self, pieces: &[&str]) {
        let width: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.part(width);
        self.text.extend(pieces.iter().copied());
        self.column += width;
    }

    /// Adds a space, or a line break if text of this width would not fit.
    fn part(&mut self, width: usize) {
        if self.text.is_empty() {
            return;
        }
        let fits = self.column + 1 + width <= LINE;
        self.text.push_str(if fits { " " } else { "\r\n " });
        self.column = if fits { self.column + 1 } else { 1 };
    }

    fn add_name(&mut self, name: &str) {
        if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            self.add(&[name]);
        } else if can_be_quoted(name) {
            self.add_quoted(name);
        } else {
            self.add_encoded(name);
        }
    }

    /// Adds a quoted string, which may be folded at its spaces.
    fn add_quoted(&mut self, name: &str) {
        let quoted = format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
        quoted.split(' ').for_each(|word| self.add(&[word]));
    }

    /// Adds encoded words. White space between two of them is not part of the name (RFC 2047 §6.2).
    /// Some readers, such as Python before 3.13, insert a space, so a name is written as one word
    /// if it fits.
    fn add_encoded(&mut self, name: &str) {
        self.part(encoded_width(name));
        let words = encoded_words(name, self.column);
        self.column = last_line_len(&words).unwrap_or(self.column + words.len());
        self.text.push_str(&words);
    }
}

/// Whether a name can be a quoted string: printable ASCII, single spaces, and nothing that
/// resembles an encoded word.
fn can_be_quoted(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        && !name.contains("=?")
        && !name.contains("  ")
        && name.trim() == name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(mailboxes: &[Mailbox]) -> String {
        let mut headers = Headers::new();
        set_mailboxes(&mut headers, "To", mailboxes);
        headers.to_string()
    }

    fn mailbox(text: &str) -> Mailbox {
        text.parse().expect("a mailbox")
    }

    #[test]
    fn each_name_has_its_shortest_form() {
        for (text, expected) in [
            ("a@example.org", "a@example.org"),
            ("Ann <a@example.org>", "Ann <a@example.org>"),
            ("Ann Smith <a@example.org>", "\"Ann Smith\" <a@example.org>"),
            ("\"Smith, \\\"A\\\"\" <a@example.org>", "\"Smith, \\\"A\\\"\" <a@example.org>"),
            ("Żółć <a@example.org>", "=?utf-8?b?xbvDs8WCxIc=?= <a@example.org>"),
            ("\"=?utf-8?q?x?=\" <a@example.org>", "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?= <a@example.org>"),
        ] {
            assert_eq!(header(&[mailbox(text)]), format!("To: {expected}\r\n"));
        }
        assert_eq!(header(&[]), "");
    }

    #[test]
    fn lists_are_folded_between_addresses() {
        for name in ["", "Ann", "Ann Smith", "O'Brien & Sons", "Żółć gęślą jaźń, Ёлка", "李雷"] {
            let list: Vec<Mailbox> = (0..300)
                .map(|n| Mailbox {
                    name: (!name.is_empty()).then(|| name.to_owned()),
                    ..mailbox(&format!("user{n}@example.org"))
                })
                .collect();
            let header = header(&list);
            let longest = header.lines().map(str::len).max();
            assert!(longest.is_some_and(|longest| longest <= LINE + 2), "{longest:?}: {header}");
            assert_eq!(header.matches('@').count(), 300);
        }
    }

    #[test]
    fn a_long_name_is_folded() {
        for name in ["\"".repeat(255), "word ".repeat(50) + "end", "ż".repeat(127), "\u{202e}".repeat(85)] {
            let address = format!("{}@{}.example.org", "a".repeat(64), "b".repeat(60));
            let header = header(&[Mailbox { name: Some(name), ..mailbox(&address) }]);
            assert!(header.lines().all(|line| line.len() < 600), "{header}");
            assert!(header.ends_with(&format!("<{address}>\r\n")), "{header}");
        }
    }
}

//! Address lists (RFC 5322 §3.4), folded so that no line grows with their number.

use lettre::message::header::{HeaderName, HeaderValue, Headers};
use postroom_core::Mailbox;

use super::header::{LINE, encoded_width, encoded_words, last_line_len};

/// Sets an address header, if there is anybody to be named.
pub(super) fn set_mailboxes(headers: &mut Headers, name: &'static str, mailboxes: &[Mailbox]) {
    if mailboxes.is_empty() {
        return;
    }
    let name = HeaderName::new_from_ascii_str(name);
    let list = folded(name.len() + 2, mailboxes);
    headers.insert_raw(HeaderValue::dangerous_new_pre_encoded(name, String::new(), list));
}

/// The list as it is written, where its first line begins in this column.
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

/// A header's value on its way, with the column that it has reached.
struct List {
    text: String,
    column: usize,
}

impl List {
    /// Adds a word behind a space, on a new line where it would pass the end of this one.
    fn add(&mut self, pieces: &[&str]) {
        let width: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.part(width);
        self.text.extend(pieces.iter().copied());
        self.column += width;
    }

    /// Parts what comes, of this width, from what is there.
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

    /// As a quoted string, which may be folded at its spaces.
    fn add_quoted(&mut self, name: &str) {
        let quoted = format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
        quoted.split(' ').for_each(|word| self.add(&[word]));
    }

    /// As encoded words; white space between two of them is none of the name's (RFC 2047 §6.2). Some readers, Python's before 3.13,
    /// make it a space all the same: so a name goes in one word where it fits.
    fn add_encoded(&mut self, name: &str) {
        self.part(encoded_width(name));
        let words = encoded_words(name, self.column);
        self.column = last_line_len(&words).unwrap_or(self.column + words.len());
        self.text.push_str(&words);
    }
}

/// Printable ASCII in words with one space between them, and nothing that a reader would take for an encoded word.
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
    fn names_are_written_as_short_as_they_may_be() {
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
    fn lists_are_folded_between_their_members() {
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
    fn a_long_name_has_lines_of_its_own() {
        for name in ["\"".repeat(255), "word ".repeat(50) + "end", "ż".repeat(127), "\u{202e}".repeat(85)] {
            let address = format!("{}@{}.example.org", "a".repeat(64), "b".repeat(60));
            let header = header(&[Mailbox { name: Some(name), ..mailbox(&address) }]);
            assert!(header.lines().all(|line| line.len() < 600), "{header}");
            assert!(header.ends_with(&format!("<{address}>\r\n")), "{header}");
        }
    }
}

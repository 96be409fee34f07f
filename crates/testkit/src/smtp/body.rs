//! Content of a mail as received, and its protocol violations.

/// Maximum length of a line, in octets without CRLF (RFC 5321 §4.5.3.1.6).
const LINE_LIMIT: usize = 998;

/// Content, read line by line.
#[derive(Debug)]
pub(super) struct ReceivedBody {
    pub(super) data: Vec<u8>,
    /// Number of bytes read, before dots are unstuffed.
    pub(super) wire_bytes: usize,
    pub(super) violations: Vec<&'static str>,
    pub(super) has_eight_bits: bool,
    /// Whether a line starts here. Only CRLF ends a line: after a bare LF a dot is content.
    at_line_start: bool,
}

impl ReceivedBody {
    pub(super) fn new() -> Self {
        Self { data: Vec::new(), wire_bytes: 0, violations: Vec::new(), has_eight_bits: false, at_line_start: true }
    }

    /// Adds a line with its LF. Returns true for the final dot.
    pub(super) fn push(&mut self, line: &[u8]) -> bool {
        self.wire_bytes += line.len();
        if self.at_line_start && line == b".\r\n" {
            return true;
        }
        let line = self.unstuffed(line);
        self.inspect(line);
        self.at_line_start = line.ends_with(b"\r\n");
        self.data.extend_from_slice(line);
        false
    }

    fn unstuffed<'a>(&mut self, line: &'a [u8]) -> &'a [u8] {
        match line {
            [b'.', rest @ ..] if self.at_line_start => {
                self.note(!rest.starts_with(b"."), "a line begins with a dot that was not doubled");
                rest
            }
            _ => line,
        }
    }

    fn inspect(&mut self, line: &[u8]) {
        let content = line.strip_suffix(b"\r\n");
        self.note(content.is_none(), "bare LF in the content");
        let content = content.unwrap_or(&line[..line.len() - 1]);
        self.note(content.contains(&b'\r'), "bare CR in the content");
        self.note(content.contains(&0), "NUL in the content");
        self.note(content.len() > LINE_LIMIT, "a line of the content is longer than 998 octets");
        self.has_eight_bits |= !content.is_ascii();
    }

    /// Records a violation, at most once for each mail.
    fn note(&mut self, wrong: bool, what: &'static str) {
        if wrong && !self.violations.contains(&what) {
            self.violations.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wire: &str, data: &str, violations: &[&str]) {
        let mut body = ReceivedBody::new();
        let mut lines = wire.split_inclusive('\n');
        assert!(lines.any(|line| body.push(line.as_bytes())), "no final dot in {wire:?}");
        assert_eq!(lines.next(), None, "ended too early: {wire:?}");
        assert_eq!(
            (String::from_utf8_lossy(&body.data).as_ref(), &body.violations[..]),
            (data, violations),
            "{wire:?}"
        );
    }

    #[test]
    fn dots_are_unstuffed_and_violations_are_recorded() {
        check(".\r\n", "", &[]);
        check("a\r\n\r\n..b\r\n...\r\n.\r\n", "a\r\n\r\n.b\r\n..\r\n", &[]);
        check(".b\r\n.\r\n", "b\r\n", &["a line begins with a dot that was not doubled"]);
        check("a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", &["bare LF in the content"]);
        check(
            "a\r\n.\nb\r\n.\r\n",
            "a\r\n\nb\r\n",
            &["a line begins with a dot that was not doubled", "bare LF in the content"],
        );
        check("a\rb\r\r\n.\r\n", "a\rb\r\r\n", &["bare CR in the content"]);
    }

    #[test]
    fn a_line_has_998_octets_at_most() {
        let longest = format!("{}\r\n", "x".repeat(998));
        check(&format!("{longest}.\r\n"), &longest, &[]);
        let too_long = format!("x{longest}");
        check(&format!("{too_long}.\r\n"), &too_long, &["a line of the content is longer than 998 octets"]);
        let stuffed = format!(".{}\r\n", "x".repeat(997));
        check(&format!(".{stuffed}.\r\n"), &stuffed, &[]);
    }
}

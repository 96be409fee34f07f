//! Encoding of a message for DATA: CRLF lines and dot stuffing (RFC 5321 §4.5.2).

use memchr::memchr2;

/// Encodes a message block by block. A bare CR or LF becomes CRLF, which prevents SMTP smuggling.
#[derive(Debug)]
pub(crate) struct BodyEncoder<'a> {
    rest: &'a [u8],
    at_line_start: bool,
}

/// End of the message: a line with a single dot.
pub(crate) const FINAL_DOT: &[u8] = b".\r\n";

const LINE_END: &[u8] = b"\r\n";

impl<'a> BodyEncoder<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message, at_line_start: true }
    }

    /// Appends lines until the buffer has about this many bytes. Returns false once nothing is
    /// left. The last line always gets a line end.
    pub(crate) fn fill(&mut self, out: &mut Vec<u8>, about: usize) -> bool {
        out.reserve(about.min(self.rest.len() + self.rest.len() / 64 + 64));
        while !self.rest.is_empty() && out.len() < about {
            let run = self.clean_run(about - out.len());
            out.extend_from_slice(run);
            self.correct(out);
        }
        if self.rest.is_empty() && !self.at_line_start {
            out.extend_from_slice(LINE_END);
            self.at_line_start = true;
        }
        !self.rest.is_empty()
    }

    /// Takes the longest run, up to about this length, that needs no change: usually the whole
    /// message.
    fn clean_run(&mut self, about: usize) -> &'a [u8] {
        let message = self.rest;
        let mut end = 0;
        while end < about {
            if self.at_line_start && message.get(end) == Some(&b'.') {
                break;
            }
            let Some(length) = memchr2(b'\r', b'\n', &message[end..]) else {
                self.at_line_start &= end == message.len();
                end = message.len();
                break;
            };
            self.at_line_start &= length == 0;
            end += length;
            if !message[end..].starts_with(LINE_END) {
                break;
            }
            end += LINE_END.len();
            self.at_line_start = true;
        }
        let (run, rest) = message.split_at(end);
        self.rest = rest;
        run
    }

    /// Writes the correct form of the byte that ended a run.
    fn correct(&mut self, out: &mut Vec<u8>) {
        match self.rest {
            [b'.', rest @ ..] if self.at_line_start => {
                out.extend_from_slice(b"..");
                self.at_line_start = false;
                self.rest = rest;
            }
            [b'\r', b'\n', ..] => {}
            [b'\r' | b'\n', rest @ ..] => {
                out.extend_from_slice(LINE_END);
                self.at_line_start = true;
                self.rest = rest;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

    fn written(message: &[u8], block: usize) -> Vec<u8> {
        let mut body = BodyEncoder::new(message);
        let mut wire = Vec::new();
        loop {
            let mut out = Vec::new();
            let more = body.fill(&mut out, block);
            wire.extend_from_slice(&out);
            if !more {
                return wire;
            }
        }
    }

    /// Removes the dot stuffing, as a server does.
    fn unstuffed(wire: &[u8]) -> Vec<u8> {
        let text = String::from_utf8(wire.to_vec()).expect("text");
        let mut message = String::new();
        for line in text.split_inclusive("\r\n") {
            message.push_str(line.strip_prefix('.').unwrap_or(line));
        }
        message.into_bytes()
    }

    /// Replaces each kind of line end by CRLF and ends the last line.
    fn normal(message: &str) -> String {
        let mut normal = message.replace("\r\n", "\n").replace('\r', "\n");
        if !normal.is_empty() && !normal.ends_with('\n') {
            normal.push('\n');
        }
        normal.replace('\n', "\r\n")
    }

    #[test]
    fn lines_are_terminated_and_dots_doubled() {
        for (message, expected) in [
            ("", ""),
            ("a\r\n", "a\r\n"),
            ("a", "a\r\n"),
            (".", "..\r\n"),
            (".\r\n", "..\r\n"),
            ("..\r\n", "...\r\n"),
            ("a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n"),
            ("a.b\r\n", "a.b\r\n"),
            ("a\n.\nb", "a\r\n..\r\nb\r\n"),
            ("a\r.\rb", "a\r\n..\r\nb\r\n"),
            ("a\r\n\r\n", "a\r\n\r\n"),
            ("\r", "\r\n"),
            ("\r\r\n", "\r\n\r\n"),
            ("\n\r\n", "\r\n\r\n"),
            ("a\r\n\n.\r\n", "a\r\n\r\n..\r\n"),
        ] {
            for block in [1, 2, 3, 1024] {
                let wire = written(message.as_bytes(), block);
                assert_eq!(String::from_utf8_lossy(&wire), expected, "{message:?} by {block}");
            }
        }
    }

    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("\r\n"),
            Just("."),
            Just("\n"),
            Just("\r"),
            Just("\r\n.\r\n"),
            Just("word"),
            Just("żółć"),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_server_decodes_the_original_message(message in pieces(), block in 1usize..50) {
            let wire = written(message.as_bytes(), block);
            prop_assert_eq!(String::from_utf8(unstuffed(&wire)).expect("text"), normal(&message));
        }

        #[test]
        fn no_message_contains_its_end(message in prop::collection::vec(any::<u8>(), 0..200), block in 1usize..50) {
            let mut wire = b"\r\n".to_vec();
            wire.extend(written(&message, block));
            let ends: [&[u8]; 3] = [b"\n.\r", b"\r.\r", b"\n.\n"];
            prop_assert!(!wire.windows(3).any(|window| ends.contains(&window)));
            let bare = wire.windows(2).any(|pair| (pair[0] == b'\r') != (pair[1] == b'\n'));
            prop_assert!(!bare, "a bare CR or LF was written");
        }
    }
}

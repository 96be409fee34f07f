//! Buffer of bytes read from a server, split into replies.

use memchr::memchr;

use crate::{
    redaction::Redaction,
    reply::{BadReply, Reply, ReplyLines},
};

/// Maximum length of a line. RFC 5321 §4.5.3.1.5 allows 512 bytes.
const MAX_LINE: usize = 4096;

/// Holds unparsed bytes, at most one line, and the parsed lines of an incomplete reply.
#[derive(Debug)]
pub(crate) struct ReplyBuffer {
    bytes: Box<[u8; MAX_LINE]>,
    start: usize,
    end: usize,
    lines: ReplyLines,
}

impl ReplyBuffer {
    pub(crate) fn new() -> Self {
        Self { bytes: Box::new([0; MAX_LINE]), start: 0, end: 0, lines: ReplyLines::default() }
    }

    /// Masks secrets in all later replies.
    pub(crate) fn redact(&mut self, redaction: Redaction) {
        self.lines.redact(redaction);
    }

    /// Takes the next complete reply; `None` if more bytes are needed.
    ///
    /// # Errors
    /// Returns an error if the bytes are not a reply.
    pub(crate) fn next(&mut self) -> Result<Option<Reply>, BadReply> {
        while let Some(length) = memchr(b'\n', &self.bytes[self.start..self.end]) {
            let line = &self.bytes[self.start..self.start + length];
            self.start += length + 1;
            let reply = self.lines.push(line.strip_suffix(b"\r").unwrap_or(line))?;
            if reply.is_some() {
                return Ok(reply);
            }
        }
        if self.end - self.start == MAX_LINE {
            return Err(BadReply::TooLong);
        }
        Ok(None)
    }

    /// Free space for more bytes. Never empty after [`ReplyBuffer::next`] returned `None`.
    pub(crate) fn unfilled(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    /// Marks this many bytes of [`ReplyBuffer::unfilled`] as filled.
    pub(crate) fn advance(&mut self, count: usize) {
        self.end += count;
    }

    /// Whether all bytes were parsed.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses bytes that arrive in pieces of this size.
    fn replies(bytes: &[u8], piece: usize) -> Result<Vec<Reply>, BadReply> {
        let mut buffer = ReplyBuffer::new();
        let mut replies = Vec::new();
        for piece in bytes.chunks(piece) {
            let free = buffer.unfilled();
            free[..piece.len()].copy_from_slice(piece);
            buffer.advance(piece.len());
            while let Some(reply) = buffer.next()? {
                replies.push(reply);
            }
        }
        assert!(buffer.is_empty(), "an incomplete reply remains");
        Ok(replies)
    }

    fn parse_in_pieces(bytes: &[u8]) -> Vec<String> {
        let whole = replies(bytes, MAX_LINE).expect("replies");
        for piece in [1, 2, 3, 7] {
            assert_eq!(replies(bytes, piece).as_ref(), Ok(&whole), "in pieces of {piece}");
        }
        whole.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn replies_of_every_form_are_parsed() {
        let table: &[(&str, &[&str])] = &[
            ("250 ok\r\n", &["250 ok"]),
            ("250\r\n", &["250"]),
            ("250 \r\n", &["250"]),
            ("250 ok\n", &["250 ok"]),
            ("250 2.1.0 ok\r\n", &["250 2.1.0 ok"]),
            ("250 2.1.0\r\n", &["250 2.1.0"]),
            ("550 5.7.515 denied\r\n", &["550 5.7.515 denied"]),
            ("550 5.7 denied\r\n", &["550 5.7 denied"]),
            ("550 5.7.1.2 denied\r\n", &["550 5.7.1.2 denied"]),
            ("550 1.2.3.4 is listed\r\n", &["550 1.2.3.4 is listed"]),
            ("550-5.1.1 no\r\n550 5.1.1 such user\r\n", &["550 5.1.1 no such user"]),
            ("250-a\r\n250-\r\n250 b\r\n", &["250 a b"]),
            ("250 a\r\n354 b\r\n", &["250 a", "354 b"]),
            ("250-a\r\n250 b\r\n421 c\r\n", &["250 a b", "421 c"]),
            ("220-x\r\n220 ESMTP żółć\r\n", &["220 x ESMTP żółć"]),
            ("250-mixed\r\n550 up\r\n", &["550 mixed up"]),
        ];
        for (bytes, expected) in table {
            assert_eq!(parse_in_pieces(bytes.as_bytes()), *expected, "{bytes:?}");
        }
    }

    #[test]
    fn the_text_of_a_reply_is_unchanged() {
        let bytes = b"550-5.1.1 The account\r\n550 5.1.1 does not exist\r\n";
        let reply = replies(bytes, 9).expect("a reply").remove(0);
        let lines: Vec<_> = reply.lines().collect();
        assert_eq!(lines, ["5.1.1 The account", "5.1.1 does not exist"]);
        assert_eq!(reply.message(), "The account does not exist");
        let enhanced = reply.enhanced.expect("an enhanced code");
        assert_eq!((enhanced.class, enhanced.subject, enhanced.detail), (5, 1, 1));
    }

    #[test]
    fn an_enhanced_code_of_another_class_is_ignored() {
        let reply = replies(b"450 5.1.1 greylisted\r\n", 64).expect("a reply").remove(0);
        assert_eq!(reply.enhanced, None);
        assert!(reply.is_transient());
    }

    #[test]
    fn malformed_replies_are_rejected() {
        for bytes in
            ["hello\r\n", "25 ok\r\n", "2500 ok\r\n", "+50 ok\r\n", "150 ok\r\n", "650 ok\r\n", "\r\n", "250_ok\r\n"]
        {
            let result = replies(bytes.as_bytes(), 64);
            assert!(matches!(result, Err(BadReply::Syntax(_))), "{bytes:?}: {result:?}");
        }
    }

    #[test]
    fn a_positive_reply_with_a_refusal_in_it_is_rejected() {
        for bytes in [&b"550-no\r\n250 yes\r\n"[..], b"250-yes\r\n450-no\r\n250 yes\r\n", b"550-no\r\n354 go on\r\n"] {
            let result = replies(bytes, 64);
            assert!(matches!(result, Err(BadReply::Mixed(450 | 550, 250 | 354))), "{result:?}");
        }
        assert_eq!(parse_in_pieces(b"250-yes\r\n550 no\r\n250 another\r\n"), ["550 yes no", "250 another"]);
    }

    #[test]
    fn secrets_are_masked_in_replies_and_in_malformed_lines() {
        let mut buffer = ReplyBuffer::new();
        buffer.redact(Redaction::of_login("ada", "hunter2"));
        for (bytes, shown) in [
            ("535-5.7.8 hunter2\r\n535 5.7.8 is not for AGFkYQBodW50ZXIy\r\n", "535 5.7.8 *** is not for ***"),
            ("250 ok\r\n", "250 ok"),
        ] {
            buffer.unfilled()[..bytes.len()].copy_from_slice(bytes.as_bytes());
            buffer.advance(bytes.len());
            let reply = buffer.next().expect("a reply").expect("a complete reply");
            assert_eq!(reply.to_string(), shown);
        }
        let line = format!("{}hunter2\r\n", " ".repeat(75));
        buffer.unfilled()[..line.len()].copy_from_slice(line.as_bytes());
        buffer.advance(line.len());
        let BadReply::Syntax(shown) = buffer.next().expect_err("a malformed line") else {
            panic!("not a syntax error")
        };
        assert_eq!(shown.trim(), "***");
    }

    #[test]
    fn an_endless_reply_is_rejected() {
        let line = vec![b'2'; MAX_LINE * 2];
        assert_eq!(replies(&line, 64), Err(BadReply::TooLong));
        let lines = b"250-and on and on and on\r\n".repeat(2000);
        assert_eq!(replies(&lines, 64), Err(BadReply::TooLong));
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        assert_eq!(parse_in_pieces(b"250 \xff\r\n"), ["250 \u{fffd}"]);
    }
}

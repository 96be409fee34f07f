//! Reply of a server: code, optional enhanced code, text.

use std::{fmt, mem};

use crate::redaction::Redaction;

/// Maximum length of the text of one reply. A longer reply is rejected.
const MAX_REPLY: usize = 32 * 1024;

/// Reply "service not available, closing", possible after any command (RFC 5321 §3.8).
const CLOSING: u16 = 421;

/// A complete reply of one or more lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Reply code, 200 to 599.
    pub code: u16,
    /// Enhanced status code (RFC 3463), if the server gave one of the same class as `code`.
    pub enhanced: Option<EnhancedCode>,
    text: String,
}

/// Enhanced status code `class.subject.detail` (RFC 3463).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnhancedCode {
    /// Class: 2 success, 4 transient failure, 5 permanent failure.
    pub class: u16,
    /// Subject: 1 address, 2 mailbox, 3 system, 4 network, 5 protocol, 6 content, 7 policy.
    pub subject: u16,
    /// Detail within the subject.
    pub detail: u16,
}

/// Error: the bytes are not a reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadReply {
    Syntax(String),
    /// A line refuses (first code), but the last line does not (second code).
    Mixed(u16, u16),
    TooLong,
}

/// Lines of an incomplete reply.
#[derive(Debug, Default)]
pub(crate) struct ReplyLines {
    text: String,
    enhanced: Option<EnhancedCode>,
    any: bool,
    /// Code of a line that refuses.
    refusal: Option<u16>,
    redaction: Redaction,
}

impl Reply {
    /// Text of the reply, line by line, with the enhanced codes.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.split('\n')
    }

    /// Text of the reply in one line, without the enhanced codes.
    #[must_use]
    pub fn message(&self) -> String {
        let mut message = String::with_capacity(self.text.len());
        for line in self.lines() {
            let words = EnhancedCode::split(line).map_or(line, |(_, rest)| rest).trim();
            if !message.is_empty() && !words.is_empty() {
                message.push(' ');
            }
            message.push_str(words);
        }
        message
    }

    /// Whether the reply is positive (2yz).
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.class() == 2
    }

    /// Whether the reply is intermediate (3yz).
    #[must_use]
    pub fn is_intermediate(&self) -> bool {
        self.class() == 3
    }

    /// Whether the reply is a transient refusal (4yz).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.class() == 4
    }

    /// Whether the reply is a permanent refusal (5yz).
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.class() == 5
    }

    /// Whether the reply is a refusal (4yz or 5yz).
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.is_transient() || self.is_permanent()
    }

    /// Whether the server closes the connection after this reply (421).
    pub(crate) fn is_closing(&self) -> bool {
        self.code == CLOSING
    }

    fn class(&self) -> u16 {
        self.code / 100
    }
}

impl EnhancedCode {
    /// Splits a line into the enhanced code at its start and the text after the space.
    fn split(line: &str) -> Option<(Self, &str)> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut parts = word.split('.').map(small_number);
        let code = Self { class: parts.next()??, subject: parts.next()??, detail: parts.next()?? };
        let is_valid = parts.next().is_none() && matches!(code.class, 2 | 4 | 5);
        is_valid.then_some((code, rest))
    }
}

impl ReplyLines {
    /// Masks secrets in all later replies.
    pub(crate) fn redact(&mut self, redaction: Redaction) {
        self.redaction = redaction;
    }

    /// Adds a line, given without its line end. Returns the reply if the line was the last.
    ///
    /// # Errors
    /// Returns an error if the line is malformed, the reply too long, or a refusal hidden in a
    /// positive reply.
    pub(crate) fn push(&mut self, line: &[u8]) -> Result<Option<Reply>, BadReply> {
        let (code, more, text) = split_line(line).ok_or_else(|| self.syntax(line))?;
        if self.text.len() + text.len() > MAX_REPLY {
            return Err(BadReply::TooLong);
        }
        self.append(text);
        if code >= 400 {
            self.refusal = Some(code);
        }
        if more { Ok(None) } else { self.finish(code).map(Some) }
    }

    fn append(&mut self, text: &[u8]) {
        if self.any {
            self.text.push('\n');
        }
        self.any = true;
        let text = String::from_utf8_lossy(text);
        if self.enhanced.is_none() {
            self.enhanced = EnhancedCode::split(&text).map(|(code, _)| code);
        }
        self.text.push_str(&self.redaction.redact(&text));
    }

    /// Completes the reply. All lines must have the same code (RFC 5321 §4.2.1). If they differ,
    /// the last code counts, except that a refusal in any line makes a non-refusing reply invalid.
    fn finish(&mut self, code: u16) -> Result<Reply, BadReply> {
        let (text, enhanced) = (mem::take(&mut self.text), self.enhanced.take());
        self.any = false;
        match self.refusal.take() {
            Some(refusal) if code < 400 => Err(BadReply::Mixed(refusal, code)),
            _ => Ok(Reply { code, enhanced: enhanced.filter(|enhanced| enhanced.class == code / 100), text }),
        }
    }

    fn syntax(&self, line: &[u8]) -> BadReply {
        const SHOWN: usize = 80;
        let line = String::from_utf8_lossy(line);
        BadReply::Syntax(self.redaction.redact(&line).chars().take(SHOWN).collect())
    }
}

/// Splits a line into its code, whether more lines follow, and its text.
fn split_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let is_valid = digits[0] != b'+' && (200..600).contains(&code);
    let (more, text) = match rest {
        [] => (false, rest),
        [b' ', text @ ..] => (false, text),
        [b'-', text @ ..] => (true, text),
        _ => return None,
    };
    is_valid.then_some((code, more, text))
}

/// Parses a part of an enhanced code: one to three digits.
fn small_number(text: &str) -> Option<u16> {
    let is_valid = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_valid.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Reply {
    /// Formats the reply in one line, such as `550 5.1.1 no such user`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        let message = self.message();
        if message.is_empty() {
            return Ok(());
        }
        write!(f, " {message}")
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

//! What a server says: a code, perhaps an enhanced code, and text.

use std::{fmt, mem};

use crate::redaction::Redaction;

/// The text of one reply is kept up to this; a server that says more is cut off.
const MAX_REPLY: usize = 32 * 1024;

/// A complete reply of one or more lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits, 200 to 599.
    pub code: u16,
    /// The enhanced status code (RFC 3463) where the server gave one that agrees with `code`.
    pub enhanced: Option<EnhancedCode>,
    text: String,
}

/// `class.subject.detail` of RFC 3463.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnhancedCode {
    /// 2 done, 4 try again, 5 do not.
    pub class: u16,
    /// What it is about: 1 address, 2 mailbox, 3 system, 4 network, 5 protocol, 6 content, 7 policy.
    pub subject: u16,
    /// What exactly.
    pub detail: u16,
}

/// Why bytes are not a reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadReply {
    Syntax(String),
    /// A refusal in one line, and the last line has another code.
    Mixed(u16, u16),
    TooLong,
}

/// The lines of a reply that is not complete yet.
#[derive(Debug, Default)]
pub(crate) struct ReplyLines {
    text: String,
    enhanced: Option<EnhancedCode>,
    any: bool,
    /// The code of a line that refuses.
    refusal: Option<u16>,
    redaction: Redaction,
}

impl Reply {
    /// The server's own words, line by line, with the enhanced code as it was written.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.split('\n')
    }

    /// The text in one line, without the enhanced codes: for people.
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

    /// 2yz: done.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.class() == 2
    }

    /// 3yz: go on.
    #[must_use]
    pub fn is_intermediate(&self) -> bool {
        self.class() == 3
    }

    /// 4yz: the same may be tried again later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.class() == 4
    }

    /// 5yz: not to be repeated unchanged.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.class() == 5
    }

    /// 4yz or 5yz.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.is_transient() || self.is_permanent()
    }

    fn class(&self) -> u16 {
        self.code / 100
    }
}

impl EnhancedCode {
    /// Takes an enhanced code off the front of a line; the rest of the line is what follows its space.
    fn split(line: &str) -> Option<(Self, &str)> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut parts = word.split('.').map(small_number);
        let code = Self { class: parts.next()??, subject: parts.next()??, detail: parts.next()?? };
        let sound = parts.next().is_none() && matches!(code.class, 2 | 4 | 5);
        sound.then_some((code, rest))
    }
}

impl ReplyLines {
    /// Masks secrets in the replies that come from now on.
    pub(crate) fn redact(&mut self, redaction: Redaction) {
        self.redaction = redaction;
    }

    /// Takes the next line, without its line end; a reply once it was the last.
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

    /// All lines have the same code (RFC 5321 §4.2.1). Of a server that mixes them the last one counts, but nothing is taken
    /// for a yes that has a no in it.
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

/// Code, whether more lines follow, and text.
fn split_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let sound = digits[0] != b'+' && (200..600).contains(&code);
    let (more, text) = match rest {
        [] => (false, rest),
        [b' ', text @ ..] => (false, text),
        [b'-', text @ ..] => (true, text),
        _ => return None,
    };
    sound.then_some((code, more, text))
}

/// A part of an enhanced code: one to three digits.
fn small_number(text: &str) -> Option<u16> {
    let sound = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    sound.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Reply {
    /// `550 5.1.1 no such user`, in one line.
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

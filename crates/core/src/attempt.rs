//! The record of one attempt to send a job.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::{EmailAddress, time::rfc3339};

/// One attempt, stored as one line of the job's history. [`crate::JobReport`] shows `at_ms` as RFC
/// 3339.
///
/// The line is `n + at_ms ms verdict transport phase code enhanced reply`. In place of `+`, `-`
/// marks an attempt that does not count. In other fields, `-` marks an absent value. `=` marks a
/// code that the reply begins with. The reply extends to the end of the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptRecord {
    /// Number of the attempt, from 1. Attempts by two transports in one delivery share a number.
    pub n: u32,
    /// Whether the attempt counts against the maximum number of attempts.
    pub counted: bool,
    /// Start of the attempt, in Unix milliseconds.
    #[serde(rename = "at", serialize_with = "serialize_rfc3339")]
    pub at_ms: i64,
    /// Name of the transport.
    pub transport: String,
    /// Phase of the SMTP session or request in which the attempt ended.
    pub phase: Option<String>,
    /// Reply code.
    pub code: Option<u16>,
    /// Enhanced status code (RFC 3463).
    pub enhanced: Option<String>,
    /// Text of the server's reply.
    pub reply: String,
    /// Verdict on the whole attempt.
    pub verdict: String,
    /// Duration in milliseconds.
    pub ms: u64,
}

impl AttemptRecord {
    /// Returns the start of the attempt as RFC 3339 in UTC.
    #[must_use]
    pub fn at(&self) -> String {
        rfc3339(self.at_ms)
    }

    /// Returns the text behind the codes of an accepting reply, such as the server's name for the
    /// mail.
    #[must_use]
    pub fn receipt(&self) -> Option<&str> {
        let text = self.reply.strip_prefix(&self.code?.to_string())?.trim_start();
        let text = self.enhanced.as_ref().map_or(text, |code| text.strip_prefix(code.as_str()).unwrap_or(text));
        (self.verdict == "accepted").then(|| text.trim_start()).filter(|receipt| !receipt.is_empty())
    }

    /// Parses a line of a job's history.
    #[must_use]
    pub fn of_line(line: &str) -> Option<Self> {
        let mut words = line.splitn(10, ' ');
        let mut word = || words.next();
        let (n, counted, at_ms, ms) = (word()?, word()?, word()?, word()?);
        let (verdict, transport, phase, code, enhanced) = (word()?, word()?, word()?, word()?, word()?);
        let reply = unescaped(word()?);
        let mut reply_words = reply.split(' ');
        let mut value = |field: &str| match field {
            "-" => None,
            "=" => reply_words.next().map(str::to_owned),
            other => Some(other.to_owned()),
        };
        let (code, enhanced) = (value(code).and_then(|code| code.parse().ok()), value(enhanced));
        Some(Self {
            n: n.parse().ok()?,
            counted: counted == "+",
            at_ms: at_ms.parse().ok()?,
            transport: Some(transport).filter(|name| *name != "-").unwrap_or_default().to_owned(),
            phase: Some(phase).filter(|phase| *phase != "-").map(str::to_owned),
            code,
            enhanced,
            reply,
            verdict: verdict.to_owned(),
            ms: ms.parse().ok()?,
        })
    }
}

/// Writes the attempt as a line of a job's history.
impl fmt::Display for AttemptRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, enhanced) = self.code_fields();
        let counted = if self.counted { '+' } else { '-' };
        let transport = if self.transport.is_empty() { "-" } else { &self.transport };
        let phase = self.phase.as_deref().unwrap_or("-");
        write!(f, "{} {counted} {} {} {} {transport} {phase} ", self.n, self.at_ms, self.ms, self.verdict)?;
        write!(f, "{code} {enhanced} {}", escaped(&self.reply))
    }
}

impl AttemptRecord {
    /// Returns the code fields. A code that the reply begins with becomes `=`.
    fn code_fields(&self) -> (String, String) {
        let mut reply_words = self.reply.split(' ');
        let mut field = |code: Option<String>| match code {
            None => "-".to_owned(),
            Some(code) if reply_words.next() == Some(code.as_str()) => "=".to_owned(),
            Some(code) => code,
        };
        (field(self.code.map(|code| code.to_string())), field(self.enhanced.clone()))
    }
}

/// Escapes line breaks, so that the reply fits in one line.
fn escaped(reply: &str) -> String {
    reply.replace('\\', "\\\\").replace('\n', "\\n")
}

fn serialize_rfc3339<S: Serializer>(ms: &i64, output: S) -> Result<S::Ok, S::Error> {
    output.serialize_str(&rfc3339(*ms))
}

fn unescaped(reply: &str) -> String {
    let mut plain = String::with_capacity(reply.len());
    let mut chars = reply.chars();
    while let Some(c) = chars.next() {
        let unescaped = if c == '\\' { chars.next().map(|c| if c == 'n' { '\n' } else { c }) } else { Some(c) };
        plain.extend(unescaped);
    }
    plain
}

/// Result for one recipient so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientReport {
    /// Address of the recipient.
    pub address: EmailAddress,
    /// State of the recipient.
    pub result: RecipientResult,
    /// The server's reply about this recipient, unless it was simply accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// State of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientResult {
    /// Not settled; the next attempt includes this recipient.
    Open,
    /// Accepted by the next server.
    Accepted,
    /// Rejected permanently.
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(code: Option<u16>, enhanced: Option<&str>, reply: &str) -> AttemptRecord {
        AttemptRecord {
            n: 3,
            counted: false,
            at_ms: 1_700_000_000_000,
            transport: String::new(),
            phase: Some("dot".to_owned()),
            code,
            enhanced: enhanced.map(str::to_owned),
            reply: reply.to_owned(),
            verdict: "accepted".to_owned(),
            ms: 12,
        }
    }

    #[test]
    fn a_record_survives_writing_and_parsing() {
        for (code, enhanced, reply) in [
            (Some(250), Some("2.0.0"), "250 2.0.0 Ok: queued as 4bX"),
            (Some(250), None, "250 Ok"),
            (Some(451), Some("4.7.1"), "451 later"),
            (Some(451), Some("4.7.1"), "later"),
            (None, Some("4.7.1"), "4.7.1 \"so\"\nŻ\\n = -"),
            (None, None, ""),
        ] {
            let full = record(code, enhanced, reply);
            let line = full.to_string();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(AttemptRecord::of_line(&line), Some(full), "{line}");
        }
        let short = record(Some(250), Some("2.0.0"), "250 2.0.0 Ok").to_string();
        assert_eq!(short, "3 - 1700000000000 12 accepted - dot = = 250 2.0.0 Ok");
    }

    #[test]
    fn the_receipt_is_the_reply_text_behind_the_codes() {
        assert_eq!(
            record(Some(250), Some("2.0.0"), "250 2.0.0 Ok: queued as 4bX").receipt(),
            Some("Ok: queued as 4bX")
        );
        assert_eq!(record(Some(250), None, "250 Ok").receipt(), Some("Ok"));
        assert_eq!(record(None, None, "written to a file").receipt(), None);
    }
}

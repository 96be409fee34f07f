//! One try at sending a job, as its story tells it.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::{EmailAddress, time::rfc3339};

/// One try. Stored as a line; `at_ms` is told as RFC 3339 by [`crate::JobReport`].
///
/// The line is `n + at_ms ms verdict transport phase code enhanced reply`: `-` in place of `+` where it did not count, and where
/// there is nothing to tell; `=` for codes that the reply begins with; the reply goes on to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptRecord {
    /// Its number, from 1. Where one transport took over from another, the tries by both share it.
    pub n: u32,
    /// Whether it counts against the limit on attempts.
    pub counted: bool,
    /// When it began.
    #[serde(rename = "at", serialize_with = "serialize_rfc3339")]
    pub at_ms: i64,
    /// The transport's name.
    pub transport: String,
    /// How far the conversation got.
    pub phase: Option<String>,
    /// The reply code.
    pub code: Option<u16>,
    /// The enhanced status code (RFC 3463).
    pub enhanced: Option<String>,
    /// The server's words.
    pub reply: String,
    /// The verdict on the whole try.
    pub verdict: String,
    /// How long it took.
    pub ms: u64,
}

impl AttemptRecord {
    /// Returns the start of the attempt as RFC 3339 in UTC.
    #[must_use]
    pub fn at(&self) -> String {
        rfc3339(self.at_ms)
    }

    /// What the server called the mail, where that is all that it said of it behind its codes.
    #[must_use]
    pub fn receipt(&self) -> Option<&str> {
        let said = self.reply.strip_prefix(&self.code?.to_string())?.trim_start();
        let said = self.enhanced.as_ref().map_or(said, |code| said.strip_prefix(code.as_str()).unwrap_or(said));
        (self.verdict == "accepted").then(|| said.trim_start()).filter(|receipt| !receipt.is_empty())
    }

    /// Reads a line of a story.
    #[must_use]
    pub fn of_line(line: &str) -> Option<Self> {
        let mut words = line.splitn(10, ' ');
        let mut word = || words.next();
        let (n, counted, at_ms, ms) = (word()?, word()?, word()?, word()?);
        let (verdict, transport, phase, code, enhanced) = (word()?, word()?, word()?, word()?, word()?);
        let reply = unbroken(word()?);
        let mut said = reply.split(' ');
        let mut told = |field: &str| match field {
            "-" => None,
            "=" => said.next().map(str::to_owned),
            told => Some(told.to_owned()),
        };
        let (code, enhanced) = (told(code).and_then(|code| code.parse().ok()), told(enhanced));
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

/// As a line of a story.
impl fmt::Display for AttemptRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, enhanced) = self.told_codes();
        let counted = if self.counted { '+' } else { '-' };
        let transport = if self.transport.is_empty() { "-" } else { &self.transport };
        let phase = self.phase.as_deref().unwrap_or("-");
        write!(f, "{} {counted} {} {} {} {transport} {phase} ", self.n, self.at_ms, self.ms, self.verdict)?;
        write!(f, "{code} {enhanced} {}", broken(&self.reply))
    }
}

impl AttemptRecord {
    /// The codes; what the reply begins with is not told twice.
    fn told_codes(&self) -> (String, String) {
        let mut said = self.reply.split(' ');
        let mut told = |code: Option<String>| match code {
            None => "-".to_owned(),
            Some(code) if said.next() == Some(code.as_str()) => "=".to_owned(),
            Some(code) => code,
        };
        (told(self.code.map(|code| code.to_string())), told(self.enhanced.clone()))
    }
}

fn serialize_rfc3339<S: Serializer>(ms: &i64, output: S) -> Result<S::Ok, S::Error> {
    output.serialize_str(&rfc3339(*ms))
}

/// Without line ends.
fn broken(reply: &str) -> String {
    reply.replace('\\', "\\\\").replace('\n', "\\n")
}

fn unbroken(reply: &str) -> String {
    let mut plain = String::with_capacity(reply.len());
    let mut chars = reply.chars();
    while let Some(c) = chars.next() {
        let meant = if c == '\\' { chars.next().map(|c| if c == 'n' { '\n' } else { c }) } else { Some(c) };
        plain.extend(meant);
    }
    plain
}

/// What became of one recipient so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientReport {
    /// The address.
    pub address: EmailAddress,
    /// Where it stands.
    pub result: RecipientResult,
    /// The server's words about this recipient, when it was not simply accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// Where a recipient stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientResult {
    /// Not settled yet: the next attempt goes to these.
    Open,
    /// Accepted by the next server.
    Accepted,
    /// Refused for good.
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
    fn a_line_tells_all_of_it() {
        for (code, enhanced, reply) in [
            (Some(250), Some("2.0.0"), "250 2.0.0 Ok: queued as 4bX"),
            (Some(250), None, "250 Ok"),
            (Some(451), Some("4.7.1"), "451 later"),
            (Some(451), Some("4.7.1"), "later"),
            (None, Some("4.7.1"), "4.7.1 \"so\"\nŻ\\n = -"),
            (None, None, ""),
        ] {
            let whole = record(code, enhanced, reply);
            let line = whole.to_string();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(AttemptRecord::of_line(&line), Some(whole), "{line}");
        }
        let short = record(Some(250), Some("2.0.0"), "250 2.0.0 Ok").to_string();
        assert_eq!(short, "3 - 1700000000000 12 accepted - dot = = 250 2.0.0 Ok");
    }

    #[test]
    fn the_receipt_is_what_the_server_said_behind_its_codes() {
        assert_eq!(
            record(Some(250), Some("2.0.0"), "250 2.0.0 Ok: queued as 4bX").receipt(),
            Some("Ok: queued as 4bX")
        );
        assert_eq!(record(Some(250), None, "250 Ok").receipt(), Some("Ok"));
        assert_eq!(record(None, None, "written to a file").receipt(), None);
    }
}

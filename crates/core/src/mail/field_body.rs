//! Forms of a mail's headers. The name decides what a value may be and how it is written.

mod brackets;
#[cfg(test)]
mod fuzz;
mod kinds;

use std::{borrow::Cow, fmt};

use serde_json::{Map, Value};

use self::kinds::{HeaderKind, kind_of};
use crate::{
    InvalidInput, Mailbox, MailboxList,
    bounds::{self, check_octets, quoted},
};

/// Value of a header, in the form in which it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldBody<'a> {
    /// List of addresses (RFC 5322 §3.4). A name may be encoded, an address never.
    Mailboxes(Vec<Mailbox>),
    /// Structured value in printable ASCII. It is never encoded, and folded only between its
    /// [`foldable_pieces`].
    Literal(Cow<'a, str>),
    /// Text and an identifier, as in `List-Id` (RFC 2919). Only the text may be encoded.
    Named {
        /// Text, without quotes.
        text: String,
        /// Identifier, without angle brackets.
        id: String,
    },
    /// Unstructured text, encoded as RFC 2047 says where it is not plain ASCII.
    Text(&'a str),
}

/// Returns additional headers in the form in which they are written. An empty value means that the
/// header is absent.
///
/// # Errors
///
/// Yields an error about `headers` for an invalid value.
pub fn header_fields(
    headers: &Map<String, Value>,
) -> impl Iterator<Item = Result<(&str, FieldBody<'_>), InvalidInput>> {
    headers.iter().filter_map(|(name, value)| match value.as_str() {
        None => Some(Err(invalid(format!("the value of {name} is not text")))),
        Some(text) if text.trim_matches([' ', '\t']).is_empty() => None,
        Some(text) => Some(FieldBody::of(name, text).map(|body| (name.as_str(), body))),
    })
}

impl<'a> FieldBody<'a> {
    /// Parses the value of a header.
    ///
    /// # Errors
    ///
    /// Returns an error about `headers` that names the header, and what its value may be.
    pub fn of(name: &str, value: &'a str) -> Result<Self, InvalidInput> {
        check_octets("headers", format_args!("the value of {name}"), value, bounds::HEADER_VALUE)?;
        let refuse = |problem: String| invalid(format!("the value of {name} {problem}"));
        if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | b'\0')) {
            return Err(refuse("contains a line break".to_owned()));
        }
        let text = value.trim_matches([' ', '\t']);
        let form = match kind_of(name) {
            HeaderKind::Text => Self::Text(value),
            HeaderKind::Mailbox => Self::Mailboxes(vec![one_mailbox(text).map_err(refuse)?]),
            HeaderKind::Mailboxes => Self::Mailboxes(mailboxes(text).map_err(refuse)?),
            HeaderKind::Urls => Self::Literal(brackets::urls(text).map_err(refuse)?),
            HeaderKind::MessageIds => Self::Literal(brackets::message_ids(text).map_err(refuse)?),
            HeaderKind::ListId => brackets::list_id(text).map_err(refuse)?,
            HeaderKind::Literal => Self::Literal(Cow::Borrowed(text)),
        };
        if let Self::Literal(text) = &form {
            check_literal(text).map_err(refuse)?;
        }
        Ok(form)
    }

    /// Returns the value without encoding and folding, for providers that do both.
    #[must_use]
    pub fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Literal(text) => text,
            Self::Text(text) => Cow::Borrowed(text),
            other => Cow::Owned(other.to_string()),
        }
    }
}

/// Writes the value without encoding and folding.
impl fmt::Display for FieldBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mailboxes(list) => {
                let texts: Vec<String> = list.iter().map(Mailbox::to_string).collect();
                f.write_str(&texts.join(", "))
            }
            Self::Literal(text) => f.write_str(text),
            Self::Named { text, id } => write!(f, "{text} <{id}>"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Splits a structured value where it may be folded: before blanks, and behind `>,`. The pieces
/// together are the value.
pub fn foldable_pieces(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = value;
    std::iter::from_fn(move || {
        let bytes = rest.as_bytes();
        let word = bytes.iter().position(|byte| !is_blank(*byte)).filter(|_| !rest.is_empty())?;
        let is_end = |at: usize| is_blank(bytes[at]) || (at > word + 1 && bytes[at - 2..at] == *b">,");
        let end = (word..bytes.len()).find(|at| is_end(*at)).unwrap_or(bytes.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Checks that a structured value is printable ASCII and can be folded.
fn check_literal(text: &str) -> Result<(), String> {
    if let Some(other) = text.chars().find(|c| !matches!(c, ' '..='~' | '\t')) {
        return Err(format!("contains {other:?}; it may have printable ASCII characters"));
    }
    let octets = |piece: &str| piece.len() - usize::from(piece.starts_with([' ', '\t']));
    match foldable_pieces(text).max_by_key(|piece| octets(piece)) {
        Some(piece) if octets(piece) > bounds::HEADER_WORD => {
            let (octets, limit) = (octets(piece), bounds::HEADER_WORD);
            Err(format!("has {octets} octets that can't be folded in {}; it may have {limit}", quoted(piece)))
        }
        _ => Ok(()),
    }
}

fn one_mailbox(text: &str) -> Result<Mailbox, String> {
    let mut list = mailboxes(text)?;
    let first = list.pop().filter(|_| list.is_empty());
    first.ok_or_else(|| format!("{} names several addresses; it may name one", quoted(text)))
}

/// Parses a list of addresses.
fn mailboxes(text: &str) -> Result<Vec<Mailbox>, String> {
    let list: MailboxList = text.parse().map_err(|error: InvalidInput| format!("is no address: {}", error.problem))?;
    if list.0.is_empty() { Err("names no address".to_owned()) } else { Ok(list.0) }
}

fn invalid(problem: String) -> InvalidInput {
    InvalidInput::new("headers", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn written(name: &str, value: &str) -> String {
        FieldBody::of(name, value).unwrap_or_else(|error| panic!("{error}")).to_string()
    }

    #[track_caller]
    fn refused(name: &str, value: &str) -> String {
        let error = FieldBody::of(name, value).expect_err(value);
        assert_eq!(error.field, "headers");
        error.problem
    }

    #[test]
    fn the_name_decides_the_form() {
        let mailbox = |text: &str| FieldBody::Mailboxes(vec![text.parse().expect("a mailbox")]);
        for (name, value, form) in [
            ("Sender", "\"Acme, Inc.\" <a@example.org>", mailbox("\"Acme, Inc.\" <a@example.org>")),
            ("resent-FROM", "a@example.org,", mailbox("a@example.org")),
            ("Precedence", " bulk ", FieldBody::Literal("bulk".into())),
            ("List-Foo", "=?x", FieldBody::Literal("=?x".into())),
            ("X-Foo", "=?x", FieldBody::Text("=?x")),
            ("Comments", " x", FieldBody::Text(" x")),
            ("List-Id", "<a.example.org>", FieldBody::Literal("<a.example.org>".into())),
            (
                "List-Id",
                "\"Żółta, \\\"a\\\"\" <a.żółw.pl>",
                FieldBody::Named { text: "Żółta, \"a\"".into(), id: "a.xn--w-uga1v8h.pl".into() },
            ),
        ] {
            assert_eq!(FieldBody::of(name, value), Ok(form), "{name}: {value}");
        }
    }

    #[test]
    fn lists_of_addresses_are_split_at_their_commas() {
        let list = "\"A, \\\"B\\\", C\" <a@example.org>, b@example.org,\"\\\\\" <c@example.org>";
        assert_eq!(
            FieldBody::of("Resent-To", list),
            Ok(FieldBody::Mailboxes(
                ["\"A, \\\"B\\\", C\" <a@example.org>", "b@example.org", "\"\\\\\" <c@example.org>"]
                    .map(|text| text.parse().expect("a mailbox"))
                    .to_vec()
            ))
        );
        assert!(refused("Sender", list).contains("names several addresses; it may name one"));
        assert_eq!(refused("Errors-To", "undisclosed-recipients:;"), "the value of Errors-To names no address");
        assert!(refused("Errors-To", ", ,").starts_with("the value of Errors-To is no address: \", ,\""));
        assert!(refused("Errors-To", "ann").starts_with("the value of Errors-To is no address: \"ann\""));
    }

    #[test]
    fn structured_values_are_printable_and_can_be_folded() {
        assert_eq!(written("Feedback-ID", "a:b:c:d"), "a:b:c:d");
        assert_eq!(
            refused("Feedback-ID", "a:ü"),
            "the value of Feedback-ID contains 'ü'; it may have printable ASCII characters"
        );
        assert!(refused("Precedence", "a\u{1}").contains("contains '\\u{1}'"));
        assert!(refused("X-Foo", "a\nb").contains("line break"));
        assert_eq!(written("X-SMTPAPI", &"a".repeat(997)).len(), 997);
        let problem = refused("X-SMTPAPI", &"a".repeat(998));
        assert!(
            problem.contains("has 998 octets that can't be folded") && problem.contains("it may have 997"),
            "{problem}"
        );
        assert!(refused("X-Foo", &"a".repeat(999)).contains("has 999 octets; it may have 998"));
        // Percent-encoding makes a value longer.
        let url = |octets: usize| format!("<a:b>,{}<https://example.org/{}>", " ".repeat(100), "ü".repeat(octets / 6));
        assert!(written("List-Help", &url(870)).ends_with("%BC>"));
        assert!(refused("List-Help", &url(888)).contains("has 1009 octets that can't be folded"));
    }

    #[test]
    fn pieces_end_at_blanks_and_between_urls() {
        for (value, pieces) in [
            ("", vec![]),
            ("a", vec!["a"]),
            ("a  b\tc", vec!["a", "  b", "\tc"]),
            ("<a>,<b,c>, <d>", vec!["<a>,", "<b,c>,", " <d>"]),
            (">,>,x", vec![">,", ">,", "x"]),
            (",a", vec![",a"]),
        ] {
            assert_eq!(foldable_pieces(value).collect::<Vec<_>>(), pieces, "{value:?}");
        }
    }
}

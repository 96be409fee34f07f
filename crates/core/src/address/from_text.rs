//! Conversion of text to mailboxes and addresses.

use std::{borrow::Cow, str::FromStr};

use super::{
    email_address::EmailAddress,
    invisible::stripped,
    mailbox::{Mailbox, MailboxList},
    parser::{Parser, Refused},
};
use crate::{InvalidInput, bounds::quoted};

impl FromStr for Mailbox {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let unfolded = unfolded(text);
        let mut list = parse(&unfolded, 1)?;
        let refuse = |problem: String| Err(InvalidInput::new("address", problem));
        match list.len() {
            1 => Ok(list.swap_remove(0)),
            0 => refuse(format!("{} names no address; it may be one address", quoted(text))),
            _ => refuse(format!("{} has two addresses or more; it may be one address", quoted(text))),
        }
    }
}

impl FromStr for MailboxList {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        parse(&unfolded(text), usize::MAX).map(Self)
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        Ok(text.parse::<Mailbox>()?.address)
    }
}

/// Removes line breaks that only fold the text (RFC 5322 §2.2.3). A line break in quotes stays, so
/// that a name that contains one is refused.
fn unfolded(text: &str) -> Cow<'_, str> {
    let text = stripped(text);
    if !text.contains("\n ") && !text.contains("\n\t") {
        return Cow::Borrowed(text);
    }
    let (mut plain, mut is_quoted, mut is_escaped) = (String::with_capacity(text.len()), false, false);
    for (at, c) in text.char_indices() {
        let rest = text[at..].strip_prefix('\r').unwrap_or(&text[at..]);
        if is_quoted || !(rest.starts_with("\n ") || rest.starts_with("\n\t")) {
            plain.push(c);
        }
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = is_quoted && c == '\\' && !is_escaped;
    }
    Cow::Owned(plain)
}

/// Parses mailboxes until there are more than `most`.
fn parse(text: &str, most: usize) -> Result<Vec<Mailbox>, InvalidInput> {
    let mut parser = Parser::of(text);
    let (mut list, mut start, mut is_empty) = (Vec::new(), 0, true);
    let refuse = |part: &str, fault: &str| {
        InvalidInput::new("address", format!("{} is not an e-mail address: {fault}", quoted(stripped(part))))
    };
    while list.len() <= most {
        match parser.entry(&mut list) {
            Ok(true) => (start, is_empty) = (parser.position(), false),
            Ok(false) => break,
            Err(Refused::Address(fault)) => return Err(refuse(parser.part_from(start), &fault)),
            Err(Refused::Name(problem)) => return Err(problem),
        }
    }
    if is_empty { Err(refuse(text, "it has no @")) } else { Ok(list) }
}

//! Parser of mailboxes and lists of them (RFC 5322 §3.4), and of what people and programs write
//! instead.
//!
//! - Understood beside the grammar: `mailto:` and Exchange's `smtp:`, `;` between addresses and at
//!   the end, a dot at the end, characters at the ends that are not seen, and a name with a comma,
//!   colon, dot or bracket but without quotes, as in `Acme, Inc. <info@example.org>`.
//! - A name may be written as encoded words or, without another name, as a comment after the
//!   address. Other comments are ignored.
//! - A blank is understood only around the `@`, where RFC 5322 allows it: around dots it would make
//!   a wrong address of two words.

use std::borrow::Cow;

use super::{
    email_address::EmailAddress,
    encoded_word,
    invisible::{is_invisible, stripped},
    mailbox::Mailbox,
    normal::{AddressFault, normal_domain, normal_literal, normal_local},
    percent,
    words::Words,
};
use crate::{InvalidInput, bounds::check_name};

/// Prefixes of an address in links and in lists of Exchange.
const SCHEMES: [&str; 2] = ["mailto", "smtp"];

/// Why an entry of a list is refused.
pub(super) enum Refused {
    Address(AddressFault),
    Name(InvalidInput),
}

impl From<AddressFault> for Refused {
    fn from(fault: AddressFault) -> Self {
        Self::Address(fault)
    }
}

impl From<&'static str> for Refused {
    fn from(fault: &'static str) -> Self {
        Self::Address(fault.into())
    }
}

/// Reads a text once from left to right.
pub(super) struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// Position of the last `;`: a `:` after it does not begin a group.
    last_semicolon: Option<usize>,
    /// Up to this position, commas are part of a name.
    name_end: usize,
    /// Content of the last comment.
    comment: Option<&'a str>,
}

impl<'a> Parser<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, at: 0, last_semicolon: text.rfind(';'), name_end: 0, comment: None }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Reads the next mailbox or group. Returns false at the end.
    pub(super) fn entry(&mut self, list: &mut Vec<Mailbox>) -> Result<bool, Refused> {
        self.separators(&[',', ';'])?;
        if self.peek().is_none() {
            return Ok(false);
        }
        let words = self.words(true)?;
        if self.peek() == Some(':') && !is_scheme(&words) {
            self.at += 1;
            self.group(list)?;
        } else {
            list.push(self.mailbox(words)?);
            self.end_of_mailbox(true)?;
        }
        Ok(true)
    }

    /// Reads the members of a group, up to its `;`.
    fn group(&mut self, list: &mut Vec<Mailbox>) -> Result<(), Refused> {
        loop {
            self.separators(&[','])?;
            match self.peek() {
                Some(';') => {
                    self.at += 1;
                    return Ok(());
                }
                None => return Err("the group that begins with : does not end with ;".into()),
                Some(_) => {
                    let words = self.words(false)?;
                    list.push(self.mailbox(words)?);
                    self.end_of_mailbox(false)?;
                }
            }
        }
    }

    /// Reads a mailbox whose first words were read.
    fn mailbox(&mut self, words: Words<'a>) -> Result<Mailbox, Refused> {
        match self.peek() {
            Some('<') => {
                let name = words.name()?;
                let address = self.angle_address()?;
                named(name, address)
            }
            Some('@') => self.bare_address(&words),
            Some(':') if is_scheme(&words) => Ok(self.link(&words)?.into()),
            Some('>') => Err("it has > without <".into()),
            Some(')') => Err("it has ) without (".into()),
            _ => Err("it has no @".into()),
        }
    }

    /// Reads `@domain`, and what may follow: a comment with the name, or the address again in angle
    /// brackets.
    fn bare_address(&mut self, words: &Words<'a>) -> Result<Mailbox, Refused> {
        let address = self.address(words)?;
        self.comment = None;
        self.blanks()?;
        if self.peek() == Some('<') {
            let inner = self.angle_address()?;
            if inner.without_case() == address.without_case() {
                return Ok(inner.into());
            }
            return Err(
                "it has two addresses; put quotes around a name that contains @, and a comma between addresses".into(),
            );
        }
        match self.comment.take() {
            None => Ok(address.into()),
            Some(comment) => named(comment_text(comment)?, address),
        }
    }

    /// Reads `<address>`. A source route before the address is ignored (RFC 5321 §4.1.1.3).
    fn angle_address(&mut self) -> Result<EmailAddress, Refused> {
        self.at += 1;
        self.blanks()?;
        if self.peek() == Some('>') {
            return Err("there is no address between < and >".into());
        }
        if self.peek() == Some('@') {
            let route = self.rest().find([':', '>']).filter(|end| self.rest()[*end..].starts_with(':'));
            self.at += route.ok_or("the part before the @ is empty")? + 1;
        }
        let words = self.words(false)?;
        let address = match self.peek() {
            Some('@') => self.address(&words)?,
            Some(':') if is_scheme(&words) => self.link(&words)?,
            _ => return Err("it has no @ between < and >".into()),
        };
        self.blanks()?;
        if self.peek() != Some('>') {
            return Err(self.unexpected("the address that begins with < does not end with >"));
        }
        self.at += 1;
        Ok(address)
    }

    /// Reads `@domain` after the words of the local part.
    fn address(&mut self, words: &Words<'a>) -> Result<EmailAddress, Refused> {
        if words.is_empty() {
            return Err("the part before the @ is empty".into());
        }
        self.at += 1;
        self.blanks()?;
        let domain = if self.peek() == Some('[') {
            let end = self.rest().find(']').ok_or("the bracket after the @ is not closed")?;
            let literal = &self.rest()[1..end];
            self.at += end + 1;
            Cow::Owned(normal_literal(literal)?)
        } else {
            let end = self.rest().find(ends_atom).unwrap_or(self.rest().len());
            let domain = self.take(end).trim_end_matches(is_invisible);
            if domain.is_empty() && self.peek() == Some('@') { Cow::Borrowed("") } else { normal_domain(domain)? }
        };
        if self.peek() == Some('@') {
            return Err("it has more than one @".into());
        }
        checked(&words.local()?, &domain)
    }

    /// Reads the address after `mailto:` (RFC 6068) or `smtp:`. The headers of a link are ignored.
    fn link(&mut self, words: &Words<'a>) -> Result<EmailAddress, Refused> {
        self.at += 1;
        let rest = self.rest().trim_start_matches(' ');
        self.at += self.rest().len() - rest.len();
        let end = rest.find([',', ';', '<', '>', ' ']).unwrap_or(rest.len());
        self.at += end;
        let written = rest[..end].split('?').next().unwrap_or_default();
        let plain = if words.are("mailto") { percent::decoded(written) } else { Some(Cow::Borrowed(written)) };
        let plain = plain.ok_or("its percent-encoding is not UTF-8")?;
        let (local, domain) = plain.rsplit_once('@').ok_or("it has no @")?;
        checked(&normal_local(local, false)?, &normal_domain(stripped(domain))?)
    }

    /// Reads words up to a character that can't be part of a name. In a list, a `:` may begin a
    /// group.
    fn words(&mut self, in_list: bool) -> Result<Words<'a>, Refused> {
        let mut words = Words::default();
        loop {
            let gap = self.blanks()?;
            match self.peek() {
                None | Some('<' | '@' | ';' | '>' | ')') => return Ok(words),
                Some('"') => {
                    let content = self.quoted_string()?;
                    words.add_quoted(gap, content);
                }
                Some(':') if is_scheme(&words) || (in_list && self.last_semicolon > Some(self.at)) => return Ok(words),
                Some(',') if !self.is_in_name() => return Ok(words),
                Some(',' | ':') => words.add_atom(gap, self.take(1)),
                Some(_) => match encoded_word::length(self.rest()) {
                    Some(length) => words.add_encoded(gap, self.take(length))?,
                    None => {
                        let end = self.rest().find(ends_atom).unwrap_or(self.rest().len());
                        words.add_atom(gap, self.take(end));
                    }
                },
            }
        }
    }

    /// Whether the comma here is part of a name: a `<` follows before any `@`, and a word without
    /// `@` is no address.
    fn is_in_name(&mut self) -> bool {
        if self.at >= self.name_end {
            let mut is_quoted = false;
            let mut previous = ' ';
            let stop = self.rest().char_indices().find(|(_, c)| {
                is_quoted ^= *c == '"' && !(is_quoted && previous == '\\');
                previous = if previous == '\\' { ' ' } else { *c };
                !is_quoted && matches!(c, '<' | '@' | ';')
            });
            match stop {
                Some((at, '<')) => self.name_end = self.at + at,
                _ => return false,
            }
        }
        true
    }

    fn quoted_string(&mut self) -> Result<Cow<'a, str>, Refused> {
        let content = &self.rest()[1..];
        let bytes = content.as_bytes();
        let mut end = 0;
        while bytes.get(end) != Some(&b'"') {
            match bytes.get(end) {
                None => return Err("a quote is not closed".into()),
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
            }
        }
        self.at += end + 2;
        Ok(unescaped(&content[..end]))
    }

    /// Skips blanks and comments. Returns whether there were any.
    fn blanks(&mut self) -> Result<bool, Refused> {
        let start = self.at;
        loop {
            self.at += self.rest().bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            if self.peek() != Some('(') {
                return Ok(self.at > start);
            }
            self.skip_comment()?;
        }
    }

    fn skip_comment(&mut self) -> Result<(), Refused> {
        let (bytes, mut depth, mut end) = (self.rest().as_bytes(), 0_usize, 0);
        loop {
            match bytes.get(end) {
                None => return Err("a comment that begins with ( is not closed".into()),
                Some(b'\\') => end += 1,
                Some(b'(') => depth += 1,
                Some(b')') => depth -= 1,
                Some(_) => {}
            }
            end += 1;
            if depth == 0 {
                break;
            }
        }
        self.comment = self.rest().get(1..end - 1);
        self.at += end;
        Ok(())
    }

    /// Skips separators, and blanks between them.
    fn separators(&mut self, separators: &[char]) -> Result<(), Refused> {
        loop {
            self.blanks()?;
            // A lone character that is not seen, as before a separator.
            let rest = self.rest();
            let seen = rest.trim_start_matches(|c| separators.contains(&c) || is_invisible(c));
            if seen.len() == rest.len() {
                return Ok(());
            }
            self.at += rest.len() - seen.len();
        }
    }

    /// Checks that a mailbox ends here: at a separator or the end, maybe after a stray dot.
    fn end_of_mailbox(&mut self, in_list: bool) -> Result<(), Refused> {
        self.blanks()?;
        let rest = self.rest().trim_start_matches(is_invisible);
        let rest = rest.strip_prefix('.').unwrap_or(rest).trim_start_matches(is_invisible);
        if rest.is_empty() || rest.starts_with([',', ';']) {
            self.at = self.text.len() - rest.len();
            return Ok(());
        }
        let what = if in_list { "text follows the address" } else { "text follows an address of the group" };
        Err(self.unexpected(what))
    }

    /// Describes text where none may be.
    fn unexpected(&self, what: &'static str) -> Refused {
        if self.part_from(self.at).contains('@') {
            return "it has two addresses without a comma between them".into();
        }
        what.into()
    }

    /// Text from a position to the separator after the current one.
    pub(super) fn part_from(&self, start: usize) -> &'a str {
        let end = self.rest().find([',', ';']).map_or(self.text.len(), |end| self.at + end);
        self.text[start..end].trim_start_matches([',', ';', ' '])
    }

    fn take(&mut self, length: usize) -> &'a str {
        let taken = &self.rest()[..length];
        self.at += length;
        taken
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }
}

/// Whether the word before a `:` is the scheme of an address and not the name of a group.
fn is_scheme(words: &Words<'_>) -> bool {
    SCHEMES.iter().any(|scheme| words.are(scheme))
}

/// Whether a character ends a word without quotes.
fn ends_atom(c: char) -> bool {
    matches!(c, ' ' | '\t' | '"' | '(' | ')' | ',' | ':' | ';' | '<' | '>' | '@')
}

/// Removes the backslashes of quoted pairs.
fn unescaped(content: &str) -> Cow<'_, str> {
    if !content.contains('\\') {
        return Cow::Borrowed(content);
    }
    let mut plain = String::with_capacity(content.len());
    let mut chars = content.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(plain)
}

/// Returns the name in a comment, which may be encoded.
fn comment_text(comment: &str) -> Result<Option<String>, Refused> {
    let plain = unescaped(comment);
    let mut words = Words::default();
    for word in plain.split([' ', '\t']).filter(|word| !word.is_empty()) {
        match encoded_word::length(word) {
            Some(length) if length == word.len() => words.add_encoded(true, word)?,
            _ => words.add_atom(true, word),
        }
    }
    Ok(words.name()?)
}

fn named(name: Option<String>, address: EmailAddress) -> Result<Mailbox, Refused> {
    name.as_deref().map_or(Ok(()), |name| check_name("address", "the name", name)).map_err(Refused::Name)?;
    Ok(Mailbox { name, address })
}

/// Joins the parts of an address and checks its length: a path has at most 256 octets with its
/// angle brackets (RFC 5321 §4.5.3.1.3).
fn checked(local: &str, domain: &str) -> Result<EmailAddress, Refused> {
    if local.len() + 1 + domain.len() > 254 {
        return Err("it is longer than 254 characters".into());
    }
    Ok(EmailAddress::of_normal(local, domain))
}

//! E-mail addresses in a single normal form.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::{
    InvalidInput,
    bounds::{check_name, quoted},
};

/// An e-mail address: NFC, with a lower-case punycode domain. Local parts may contain any letters
/// (RFC 6531).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Returns the full address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the part before the `@`.
    #[must_use]
    pub fn local(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(local, _)| local)
    }

    /// Returns the domain, as A-labels.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// Returns the first character and the domain, for logs.
    #[must_use]
    pub fn masked(&self) -> String {
        let first: String = self.local().chars().take(1).collect();
        format!("{first}***@{}", self.domain())
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let refuse =
            |why: &str| InvalidInput::new("address", format!("{} is not an e-mail address: {why}", quoted(text)));
        let text = text.trim();
        // ASCII text is in normal form already.
        let normal = if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect::<String>()) };
        let (local, domain) = normal.rsplit_once('@').ok_or_else(|| refuse("it has no @"))?;
        check_local(local).map_err(&refuse)?;
        let domain = ascii_domain(domain).map_err(&refuse)?;
        let full = format!("{local}@{domain}");
        // RFC 5321, 4.5.3.1.3: a path has at most 256 octets with its angle brackets.
        if full.len() > 254 {
            return Err(refuse("it is longer than 254 characters"));
        }
        Ok(Self(full))
    }
}

/// Accepts dot-atoms only (RFC 5321, 4.1.2, with the letters of RFC 6531). Most servers reject
/// quoted local parts.
fn check_local(local: &str) -> Result<(), &'static str> {
    const SPECIAL: &str = "!#$%&'*+-/=?^_`{|}~.";
    if local.is_empty() {
        return Err("the part before the @ is empty");
    }
    if local.len() > 64 {
        return Err("the part before the @ is longer than 64 characters");
    }
    if local.starts_with('.') || local.ends_with('.') || local.contains("..") {
        return Err("the part before the @ begins or ends with a dot, or has two in a row");
    }
    let fits = |c: char| {
        c.is_ascii_alphanumeric() || SPECIAL.contains(c) || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
    };
    if local.chars().all(fits) { Ok(()) } else { Err("the part before the @ contains a character that is not allowed") }
}

fn ascii_domain(domain: &str) -> Result<Cow<'_, str>, &'static str> {
    if domain.starts_with('[') {
        return Err("an IP address in place of a domain is not supported");
    }
    let ascii = idna::domain_to_ascii_cow(domain.as_bytes(), idna::AsciiDenyList::EMPTY)
        .map_err(|_| "its domain is not a host name")?;
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if ascii.len() <= 253 && ascii.split('.').all(label) { Ok(ascii) } else { Err("its domain is not a host name") }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = InvalidInput;

    fn try_from(text: String) -> Result<Self, InvalidInput> {
        text.parse()
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

/// An address with a display name: `Żaneta <zaneta@example.org>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox {
    /// Display name, if any.
    pub name: Option<String>,
    /// E-mail address.
    pub address: EmailAddress,
}

impl From<EmailAddress> for Mailbox {
    fn from(address: EmailAddress) -> Self {
        Self { name: None, address }
    }
}

impl FromStr for Mailbox {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let text = text.trim();
        let Some(inner) = text.strip_suffix('>') else {
            return text.parse().map(|address| Self { name: None, address });
        };
        let (name, address) = inner
            .rsplit_once('<')
            .ok_or_else(|| InvalidInput::new("address", format!("{} ends with > but has no <", quoted(text))))?;
        let name = unquote(name.trim());
        check_name("address", "the name", &name)?;
        Ok(Self { name: (!name.is_empty()).then_some(name), address: address.parse()? })
    }
}

fn unquote(name: &str) -> String {
    let Some(quoted) = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return name.to_owned();
    };
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(name) = &self.name else { return self.address.fmt(f) };
        let plain = |c: char| c.is_alphanumeric() || c == ' ' || c == '-' || c == '_' || !c.is_ascii();
        // Leading and trailing white space is preserved only within quotes.
        if name.chars().all(plain) && name.trim().len() == name.len() {
            return write!(f, "{name} <{}>", self.address);
        }
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        write!(f, "\"{quoted}\" <{}>", self.address)
    }
}

impl TryFrom<String> for Mailbox {
    type Error = InvalidInput;

    fn try_from(text: String) -> Result<Self, InvalidInput> {
        text.parse()
    }
}

impl From<Mailbox> for String {
    fn from(mailbox: Mailbox) -> Self {
        mailbox.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_normal_form() {
        for (text, normal) in [
            ("a@example.org", "a@example.org"),
            (" A.b+c@EXAMPLE.org ", "A.b+c@example.org"),
            ("o'brien@example.org", "o'brien@example.org"),
            ("info@żółw.pl", "info@xn--w-uga1v8h.pl"),
            ("z\u{307}@example.org", "ż@example.org"),
            ("root@localhost", "root@localhost"),
        ] {
            assert_eq!(text.parse::<EmailAddress>().map(String::from).as_deref(), Ok(normal), "{text}");
        }
    }

    #[test]
    fn malformed_addresses_are_refused() {
        let long = format!("{}@example.org", "a".repeat(65));
        for bad in [
            "",
            "a",
            "@example.org",
            "a@",
            "a b@example.org",
            "a@b c",
            "a..b@example.org",
            ".a@example.org",
            "a.@example.org",
            "a@-b.org",
            "a@[127.0.0.1]",
            "a\r\nRCPT TO:<b@c>@example.org",
            "a@example.org\r\nb",
            "a<b@example.org",
            "a@b..c",
            "\"a b\"@example.org",
            &long,
        ] {
            assert!(bad.parse::<EmailAddress>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn mailboxes_survive_writing_and_parsing() {
        for (text, name) in [
            ("Żaneta Ёлка <z@example.org>", Some("Żaneta Ёлка")),
            ("\"O'Brien, \\\"Bob\\\"\" <b@example.org>", Some("O'Brien, \"Bob\"")),
            ("\" Ann\u{a0}\" <a@example.org>", Some(" Ann\u{a0}")),
            ("<b@example.org>", None),
            ("b@example.org", None),
        ] {
            let mailbox: Mailbox = text.parse().expect(text);
            assert_eq!(mailbox.name.as_deref(), name, "{text}");
            assert_eq!(mailbox.to_string().parse(), Ok(mailbox), "{text}");
        }
        let long = format!("{} <c@example.org>", "x".repeat(256));
        for bad in ["x <y", "x y>", "a\nb <c@example.org>", "a <b> <c>", &long] {
            let error = bad.parse::<Mailbox>().expect_err(bad);
            assert!(error.problem.len() < 200, "{error}");
        }
        assert!(format!("{} <c@example.org>", "x".repeat(255)).parse::<Mailbox>().is_ok());
    }
}

//! Addresses and EHLO names: validated once, so that they cannot break a command.

use std::fmt;

use thiserror::Error;

/// Maximum length of an address: a path of 256 octets without its angle brackets (RFC 5321
/// §4.5.3.1.3).
const MAX_ADDRESS: usize = 254;
const MAX_LOCAL_PART: usize = 64;
const MAX_DOMAIN: usize = 255;

/// An envelope address, `local@domain`, safe to write between angle brackets.
///
/// An address with non-ASCII characters requires SMTPUTF8. Convert a non-ASCII domain to punycode
/// first to avoid that.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(String);

/// Error: the text is not an envelope address.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{address:?} is not an e-mail address: {reason}")]
pub struct BadAddress {
    address: String,
    reason: &'static str,
}

/// Client name in EHLO: a domain or an address literal such as `[192.0.2.1]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HelloName(String);

/// Error: the text is not an EHLO name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is not an EHLO name: it must have 1 to 255 visible ASCII characters, such as mail.example.org or [192.0.2.1]"
)]
pub struct BadHelloName(String);

impl Address {
    /// Parses `local@domain` without angle brackets or display name.
    ///
    /// # Errors
    /// Returns an error with the reason if the text is not an address.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        match fault(text) {
            None => Ok(Self(text.to_owned())),
            Some(reason) => Err(BadAddress { address: text.to_owned(), reason }),
        }
    }

    /// Address as written in commands.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the address requires a server with SMTPUTF8.
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        !self.0.is_ascii()
    }
}

impl HelloName {
    /// Parses a domain or an address literal.
    ///
    /// # Errors
    /// Returns an error if the text is empty, longer than 255 bytes or not visible ASCII.
    pub fn parse(text: &str) -> Result<Self, BadHelloName> {
        let is_valid = (1..=MAX_DOMAIN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_valid { Ok(Self(text.to_owned())) } else { Err(BadHelloName(text.to_owned())) }
    }

    /// Name as written in EHLO.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for HelloName {
    fn default() -> Self {
        Self("localhost".to_owned())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HelloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn fault(text: &str) -> Option<&'static str> {
    if text.chars().any(char::is_control) {
        return Some("it contains a control character");
    }
    if text.len() > MAX_ADDRESS {
        return Some("it is longer than 254 bytes");
    }
    let Some((local, domain)) = text.rsplit_once('@') else {
        return Some("it has no @");
    };
    local_fault(local).or_else(|| domain_fault(domain))
}

fn local_fault(local: &str) -> Option<&'static str> {
    if local.is_empty() {
        return Some("the part before the @ is empty");
    }
    if local.len() > MAX_LOCAL_PART {
        return Some("the part before the @ is longer than 64 bytes");
    }
    let is_valid = match local.strip_prefix('"') {
        Some(quoted) => is_quoted_rest(quoted),
        None => !local.chars().any(is_special),
    };
    (!is_valid).then_some("the part before the @ has an unquoted special character")
}

/// Whether the text after an opening quote ends with the closing quote and has no other unescaped
/// quote.
fn is_quoted_rest(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => return chars.next().is_none(),
            '\\' if chars.next().is_none() => return false,
            _ => {}
        }
    }
    false
}

fn is_special(char: char) -> bool {
    char.is_whitespace() || r#"()<>[]:;@\,""#.contains(char)
}

fn domain_fault(domain: &str) -> Option<&'static str> {
    if domain.is_empty() || domain.len() > MAX_DOMAIN {
        return Some("the part after the @ is empty or longer than 255 bytes");
    }
    let is_valid = match domain.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(is_literal),
        None => domain.split('.').all(is_label),
    };
    (!is_valid).then_some("the part after the @ is not a domain")
}

fn is_literal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-".contains(&byte))
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.chars().all(|char| char.is_alphanumeric() || matches!(char, '-' | '_') || is_mark(char))
}

/// Whether the character may be a combining mark. Scripts such as Devanagari need them, and they
/// are not alphanumeric.
fn is_mark(char: char) -> bool {
    !char.is_ascii() && !char.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_addresses_are_accepted() {
        for text in [
            "ada@example.org",
            "o'brien+tag=1@example.org",
            "a.b-c_d/e@xn--80ak6aa92e.com",
            "\"two words\"@example.org",
            "\"say \\\"hi\\\"\"@example.org",
            "ada@[192.0.2.1]",
            "ada@[IPv6:2001:db8::1]",
            "ada@localhost",
            "żółć@example.org",
            "ada@例え.jp",
        ] {
            let address = Address::parse(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(address.as_str(), text);
            assert_eq!(address.needs_smtputf8(), !text.is_ascii());
        }
    }

    #[test]
    fn addresses_that_would_break_a_command_are_rejected() {
        for text in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@example..org",
            "ada@example.org>\r\nRCPT TO:<eve@example.org",
            "ada\r\n@example.org",
            "ada\n@example.org",
            "ada\0@example.org",
            "ada@example.org SIZE=1",
            "ada lovelace@example.org",
            "<ada@example.org>",
            "ada@eve@example.org",
            "\"ada\"x\"@example.org",
            "\"ada\\\"@example.org",
            "ada@[192.0.2.1",
            "ada@[]",
            "ada@exam>ple.org",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?} was accepted");
        }
        let long = format!("{}@example.org", "a".repeat(65));
        let error = Address::parse(&long).expect_err("65 bytes before the @");
        assert!(error.to_string().contains("64 bytes"), "{error}");
    }

    #[test]
    fn hello_names_are_validated() {
        for text in ["mail.example.org", "[192.0.2.1]", "localhost"] {
            assert!(HelloName::parse(text).is_ok(), "{text:?}");
        }
        for text in ["", "a b", "a\r\nMAIL FROM:<>", "a\n", "a\0", "ż.example"] {
            assert!(HelloName::parse(text).is_err(), "{text:?} was accepted");
        }
    }
}

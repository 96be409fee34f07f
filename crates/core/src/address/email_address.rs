//! The part of a mailbox that a server delivers to.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

use crate::InvalidInput;

/// An e-mail address: NFC, with a lower-case punycode domain or an address literal. The local part
/// may contain any letters (RFC 6531); it is a quoted string only if it needs quotes.
///
/// Parsing accepts any form of a [`Mailbox`](crate::Mailbox) and ignores its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Joins two parts in normal form.
    pub(super) fn of_normal(local: &str, domain: &str) -> Self {
        Self(format!("{local}@{domain}"))
    }

    /// Returns the full address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the part before the last `@`.
    #[must_use]
    pub fn local(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(local, _)| local)
    }

    /// Returns the domain, as A-labels, or the address literal with its brackets.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// Whether a server must support SMTPUTF8 to deliver to the address.
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        !self.0.is_ascii()
    }

    /// Returns the address in lower case. Servers may distinguish the case of a local part, but two
    /// addresses that differ only in it reach one person.
    #[must_use]
    pub fn without_case(&self) -> Cow<'_, str> {
        let is_lower = self.0.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase());
        if is_lower { Cow::Borrowed(&self.0) } else { Cow::Owned(self.0.to_lowercase()) }
    }

    /// Returns the first character and the domain, for logs.
    #[must_use]
    pub fn masked(&self) -> String {
        let first: String = self.local().trim_start_matches('"').chars().take(1).collect();
        format!("{first}***@{}", self.domain())
    }
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

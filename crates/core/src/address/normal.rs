//! Normal forms of the parts of an address.

use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
};

use unicode_normalization::UnicodeNormalization;

use super::invisible;

/// Description of what is wrong with a part of an address.
pub(super) type AddressFault = Cow<'static, str>;

/// Maximum number of octets before the `@` (RFC 5321 §4.5.3.1.1).
const MAX_LOCAL: usize = 64;

/// Returns a local part in NFC. Its quotes are removed if a dot-atom has the same meaning (RFC 5321
/// §4.1.2), and the other way round a text that is no dot-atom is put in quotes.
///
/// # Errors
/// Returns why the text can't be a local part.
pub(super) fn normal_local(content: &str, was_quoted: bool) -> Result<Cow<'_, str>, AddressFault> {
    if content.is_empty() {
        return Err("the part before the @ is empty".into());
    }
    // ASCII text is in NFC already.
    let content = if content.is_ascii() { Cow::Borrowed(content) } else { Cow::Owned(content.nfc().collect()) };
    let local = match dot_atom_fault(&content) {
        None => content,
        Some(fault) if !was_quoted => return Err(fault),
        Some(_) => Cow::Owned(quoted(&content)?),
    };
    if local.len() > MAX_LOCAL {
        return Err("the part before the @ is longer than 64 characters".into());
    }
    Ok(local)
}

/// Returns why a text is not a dot-atom (RFC 5321 §4.1.2, with the letters of RFC 6531).
fn dot_atom_fault(text: &str) -> Option<AddressFault> {
    const SPECIAL: &str = "!#$%&'*+-/=?^_`{|}~.";
    if let Some(fault) = invisible::first_in(text) {
        return Some(format!("{fault} before the @").into());
    }
    if text.starts_with('.') || text.ends_with('.') || text.contains("..") {
        return Some(
            "the part before the @ begins or ends with a dot, or has two in a row; then it needs quotes around it"
                .into(),
        );
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || SPECIAL.contains(c) || (!c.is_ascii() && !c.is_control());
    let is_atom = text.chars().all(fits);
    (!is_atom).then_some("the part before the @ contains a character that is not allowed".into())
}

/// Puts a local part in quotes.
fn quoted(content: &str) -> Result<String, AddressFault> {
    let mut quoted = String::with_capacity(content.len() + 2);
    quoted.push('"');
    for c in content.chars() {
        if c.is_control() {
            return Err("the part before the @ contains a control character".into());
        }
        if c != ' ' && invisible::is_invisible(c) {
            return Err(format!("it contains the invisible character U+{:04X} before the @", u32::from(c)).into());
        }
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    Ok(quoted)
}

/// Returns a domain as lower-case A-labels, without the dot of the root.
///
/// # Errors
/// Returns why the text can't be a domain.
pub(crate) fn normal_domain(text: &str) -> Result<Cow<'_, str>, AddressFault> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let refuse = || AddressFault::from("its domain is not a host name");
    // Joiners are letters of some scripts' domains; `idna` checks where they may be.
    let hidden = |c: char| invisible::is_invisible(c) && !matches!(c, '\u{200c}' | '\u{200d}');
    if let Some(found) = text.chars().find(|c| hidden(*c)) {
        return Err(invisible::first_in(found.encode_utf8(&mut [0; 4]))
            .map_or_else(refuse, |fault| format!("{fault} after the @").into()));
    }
    let ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::EMPTY)
        .map_err(|_| invisible::first_in(text).map_or_else(refuse, |fault| format!("{fault} after the @").into()))?;
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if ascii.len() <= 253 && ascii.split('.').all(is_label) { Ok(ascii) } else { Err(refuse()) }
}

/// Returns an address literal, with its brackets, from the text between them (RFC 5321 §4.1.3).
///
/// # Errors
/// Returns an error if it is neither an IPv4 nor an IPv6 address.
pub(super) fn normal_literal(text: &str) -> Result<String, AddressFault> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(format!("[{address}]"));
    }
    let tagged = text.get(..5).filter(|tag| tag.eq_ignore_ascii_case("ipv6:")).map_or(text, |_| &text[5..]);
    match tagged.parse::<Ipv6Addr>() {
        Ok(address) => Ok(format!("[IPv6:{address}]")),
        Err(_) => {
            Err("the brackets after the @ may contain an IP address, as in [192.0.2.5] or [IPv6:2001:db8::1]".into())
        }
    }
}

//! Values with URLs or identifiers in angle brackets.

use std::borrow::Cow;

use super::FieldBody;
use crate::bounds::quoted;

/// Item in angle brackets, and the text before it.
struct Bracketed<'a> {
    before: &'a str,
    inner: &'a str,
}

/// Splits a value into its items in angle brackets and the text after the last one.
fn split(value: &str) -> Result<(Vec<Bracketed<'_>>, &str), String> {
    let (mut items, mut rest) = (Vec::new(), value);
    while let Some((before, open)) = rest.split_once('<') {
        let closed = open.split_once('>').filter(|(inner, _)| !inner.contains('<'));
        let (inner, after) = closed.ok_or_else(|| format!("has a < without > in {}", quoted(value)))?;
        items.push(Bracketed { before, inner });
        rest = after;
    }
    Ok((items, rest))
}

/// Normalizes a list of URLs (RFC 2369 §2): in angle brackets, percent-encoded (RFC 3986), with
/// hosts in A-labels. `NO` is the value of `List-Post` for a list that accepts no mail.
pub(super) fn urls(value: &str) -> Result<Cow<'_, str>, String> {
    if !value.contains('<') {
        return bare_urls(value).map(Cow::Owned);
    }
    let (items, tail) = split(value)?;
    check_between(tail)?;
    let mut list = String::with_capacity(value.len() + 16);
    for (at, item) in items.iter().enumerate() {
        check_between(item.before)?;
        let is_joined = at == 0 || item.before.contains([',', '(']);
        list.push_str(if is_joined { item.before } else { ", " });
        list.extend(["<", &url(item.inner)?, ">"]);
    }
    list.push_str(tail);
    Ok(if list == value { Cow::Borrowed(value) } else { Cow::Owned(list) })
}

/// Encloses URLs in angle brackets, as in `https://example.org/u, mailto:u@example.org`.
fn bare_urls(value: &str) -> Result<String, String> {
    if value.get(..2).is_some_and(|word| word.eq_ignore_ascii_case("NO")) && !value[2..].starts_with(|c| c != ' ') {
        return Ok(value.to_owned());
    }
    let mut all: Vec<String> = Vec::new();
    for piece in value.split(',') {
        match all.last_mut() {
            // A comma within a URL.
            Some(last) if scheme(piece.trim_start()).is_none() => last.extend([",", piece]),
            _ => all.push(piece.trim_start().to_owned()),
        }
    }
    let all: Vec<String> = all.iter().map(|one| Ok(format!("<{}>", url(one)?))).collect::<Result<_, String>>()?;
    Ok(all.join(", "))
}

/// Checks the text between two URLs: a comma, blanks and comments.
fn check_between(text: &str) -> Result<(), String> {
    let text = text.trim_matches([' ', '\t', ',']);
    if text.is_empty() || (text.starts_with('(') && text.ends_with(')')) {
        return Ok(());
    }
    Err(format!("has {} outside of < and >; it may be a list such as <https://example.org/u>", quoted(text)))
}

/// Normalizes one URL.
fn url(text: &str) -> Result<String, String> {
    let text = text.trim();
    if let Some(control) = text.chars().find(|c| c.is_control()) {
        return Err(format!("has {control:?} in the URL {}", quoted(text)));
    }
    let Some((scheme, rest)) = scheme(text) else {
        let may_be = if text.contains('@') && !text.contains('/') { "mailto:" } else { "https://" };
        return Err(format!("has {}, which is no URL; it may be <{may_be}…>", quoted(text)));
    };
    let mut url = String::with_capacity(text.len() + 16);
    url.extend([scheme, ":"]);
    if scheme.eq_ignore_ascii_case("mailto") {
        let (addresses, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        for (at, address) in addresses.split(',').enumerate() {
            url.push_str(if at > 0 { "," } else { "" });
            push_address(&mut url, address)?;
        }
        push_encoded(&mut url, query);
    } else if let Some(after) = rest.strip_prefix("//") {
        let (authority, path) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
        if authority.is_empty() {
            return Err(format!("has the URL {} without a host", quoted(text)));
        }
        url.push_str("//");
        push_address(&mut url, authority)?;
        push_encoded(&mut url, path);
    } else {
        push_encoded(&mut url, rest);
    }
    Ok(url)
}

/// Splits a URL into its scheme and what follows the colon.
fn scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    is_scheme.then_some((scheme, rest))
}

/// Appends `user@host:port`, of which user and port may be absent. The host becomes A-labels.
fn push_address(url: &mut String, text: &str) -> Result<(), String> {
    let host = text.rfind('@').map_or(0, |at| at + 1);
    let (user, host) = text.split_at(host);
    push_encoded(url, user);
    let is_port = |port: &str| port[1..].bytes().all(|b| b.is_ascii_digit());
    let (host, port) = match host.rfind(':').map(|at| host.split_at(at)) {
        Some((host, port)) if is_port(port) => (host, port),
        _ => (host, ""),
    };
    if host.is_ascii() {
        push_encoded(url, host);
    } else {
        url.push_str(&a_labels(host)?);
    }
    url.push_str(port);
    Ok(())
}

fn a_labels(host: &str) -> Result<String, String> {
    let ascii = idna::domain_to_ascii_cow(host.as_bytes(), idna::AsciiDenyList::URL).ok();
    let is_host = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let ascii = ascii.filter(|host| is_host(host)).map(Cow::into_owned);
    ascii.ok_or_else(|| format!("has {}, which is not a host name", quoted(host)))
}

/// Appends text in which characters that a URL can't have are percent-encoded.
fn push_encoded(url: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Normalizes Message-IDs: in angle brackets, separated by blanks, with domains in A-labels.
pub(super) fn message_ids(value: &str) -> Result<Cow<'_, str>, String> {
    let (items, tail) = split(value)?;
    let mut ids: Vec<String> = Vec::new();
    for Bracketed { before, inner } in &items {
        add_bare_ids(&mut ids, before)?;
        ids.push(message_id(inner.trim())?);
    }
    add_bare_ids(&mut ids, tail)?;
    let list = ids.join(" ");
    Ok(if list == value { Cow::Borrowed(value) } else { Cow::Owned(list) })
}

/// Adds ids without angle brackets, such as those that `postroom status` shows.
fn add_bare_ids(ids: &mut Vec<String>, text: &str) -> Result<(), String> {
    for word in text.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
        if !word.contains('@') {
            return Err(format!("has {}, which is no Message-ID; it may be <id@example.org>", quoted(word)));
        }
        ids.push(message_id(word)?);
    }
    Ok(())
}

fn message_id(id: &str) -> Result<String, String> {
    let id = match id.rsplit_once('@') {
        Some((left, domain)) if !domain.is_ascii() => format!("{left}@{}", a_labels(domain)?),
        _ => id.to_owned(),
    };
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_graphic() && b != b'>') {
        return Err(format!("has the Message-ID {}; it may have visible ASCII characters except < and >", quoted(&id)));
    }
    Ok(format!("<{id}>"))
}

/// Parses `Text <list.example.org>` (RFC 2919 §3).
pub(super) fn list_id(value: &str) -> Result<FieldBody<'_>, String> {
    let may_be = || format!("is {}; it may be Name <list.example.org>", quoted(value));
    let (text, id) = match value.strip_suffix('>') {
        Some(start) => start.rsplit_once('<').ok_or_else(may_be)?,
        None => ("", value),
    };
    let id = id.trim();
    let id = if id.is_ascii() { id.to_owned() } else { a_labels(id)? };
    // RFC 2919 §3: at most 255 octets.
    if !(1..=255).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_graphic() && !b"<>,\"".contains(&b)) {
        return Err(may_be());
    }
    match unquoted(text.trim()) {
        text if text.chars().any(char::is_control) => Err(may_be()),
        text if text.is_empty() => Ok(FieldBody::Literal(Cow::Owned(format!("<{id}>")))),
        text => Ok(FieldBody::Named { text, id }),
    }
}

/// Removes the quotes and backslashes of a quoted string.
fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut chars = inner.chars();
    std::iter::from_fn(|| match chars.next() {
        Some('\\') => chars.next(),
        other => other,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_percent_encoded_within_brackets() {
        for (value, expected) in [
            (
                "<https://example.org/u?x=1>,<mailto:u@example.org>",
                "<https://example.org/u?x=1>,<mailto:u@example.org>",
            ),
            ("<https://example.org/=?x?=>", "<https://example.org/=?x?=>"),
            ("<https://example.org/ü?q=ż b#ü>", "<https://example.org/%C3%BC?q=%C5%BC%20b#%C3%BC>"),
            ("<https://example.org/%C3%BC>", "<https://example.org/%C3%BC>"),
            ("<https://Ann:x@żółw.pl:8080/ü>", "<https://Ann:x@xn--w-uga1v8h.pl:8080/%C3%BC>"),
            ("<HTTPS://Example.org>", "<HTTPS://Example.org>"),
            ("<https://[2001:db8::1]:8/>", "<https://[2001:db8::1]:8/>"),
            (
                "<mailto:ü@żółw.pl,b@example.org?subject=für>",
                "<mailto:%C3%BC@xn--w-uga1v8h.pl,b@example.org?subject=f%C3%BCr>",
            ),
            ("< mailto:u@example.org >", "<mailto:u@example.org>"),
            ("<https://e.org/{a}|\"b\">", "<https://e.org/%7Ba%7D%7C%22b%22>"),
            ("<mailto:a@e.org> <mailto:b@e.org>", "<mailto:a@e.org>, <mailto:b@e.org>"),
            ("<mailto:a@e.org> (by mail), <mailto:b@e.org>", "<mailto:a@e.org> (by mail), <mailto:b@e.org>"),
            ("https://e.org/u?a=1,2,mailto:u@e.org", "<https://e.org/u?a=1,2>, <mailto:u@e.org>"),
            ("NO", "NO"),
            ("no (read only)", "no (read only)"),
        ] {
            assert_eq!(urls(value).as_deref(), Ok(expected), "{value}");
        }
        assert!(matches!(urls("<https://e.org/=?>"), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn other_values_are_no_urls() {
        for (value, words) in [
            ("unsubscribe", "\"unsubscribe\", which is no URL; it may be <https://…>"),
            ("<u@example.org>", "which is no URL; it may be <mailto:…>"),
            ("<www.example.org/u>", "which is no URL; it may be <https://…>"),
            ("<>", "which is no URL"),
            ("<https:///u>", "without a host"),
            ("<https://example.org/u", "a < without >"),
            ("<https://e.org/<a>", "a < without >"),
            ("Click <https://e.org>", "\"Click\" outside of < and >"),
            ("<https://e.org>; <https://f.org>", "\";\" outside"),
            ("<https://e.org/\u{1}>", "'\\u{1}' in the URL"),
            ("<https://ü ü.org>", "not a host name"),
            ("<https://ü\".org>", "not a host name"),
        ] {
            let problem = urls(value).expect_err(value);
            assert!(problem.contains(words), "{value}: {problem}");
        }
    }

    #[test]
    fn message_ids_are_in_brackets() {
        for (value, expected) in [
            ("<a@example.org> <b@example.org>", "<a@example.org> <b@example.org>"),
            ("a@example.org", "<a@example.org>"),
            ("<a@example.org>,<b@żółw.pl>", "<a@example.org> <b@xn--w-uga1v8h.pl>"),
            ("<no-domain>", "<no-domain>"),
            ("<=?utf-8?q?x?=@example.org>", "<=?utf-8?q?x?=@example.org>"),
        ] {
            assert_eq!(message_ids(value).as_deref(), Ok(expected), "{value}");
        }
        for value in ["ticket 42", "<a b@example.org>", "<>", "<ż@example.org>", "<a@b", "a>@b"] {
            message_ids(value).expect_err(value);
        }
    }

    #[test]
    fn list_ids_are_in_brackets() {
        for (value, expected) in [
            ("<a.example.org>", "<a.example.org>"),
            ("a.example.org", "<a.example.org>"),
            ("Acme, Inc. <a.example.org>", "Acme, Inc. <a.example.org>"),
            ("\"Acme, Inc.\" <a.example.org>", "Acme, Inc. <a.example.org>"),
        ] {
            assert_eq!(list_id(value).map(|form| form.to_string()).as_deref(), Ok(expected), "{value}");
        }
        let long = "ü.".repeat(40);
        for value in ["My list", "<>", "a.example.org>", "x <a b>", "a\u{1} <b>", &long] {
            list_id(value).expect_err(value);
        }
    }
}

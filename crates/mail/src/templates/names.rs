//! Names of variables. tera knows ASCII names only, and a column may be named `Größe (cm)`.
//!
//! A variable whose name is not an ASCII name is stored under an encoded one, and template source
//! is rewritten to use it. Each variable also has a [short name](short_name).

use std::{borrow::Cow, fmt::Write};

use unicode_ident::{is_xid_continue, is_xid_start};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::tag::{Word, segments, words};

/// Start of an encoded name; the UTF-8 in hexadecimal digits follows.
const PREFIX: &str = "postroom_name_";
/// Name in template source by which `vars["any name"]` reaches a variable.
const ALL: &str = "vars";
/// Words of the syntax, which can't be used as names.
const RESERVED: [&str; 16] = [
    "true", "True", "false", "False", "loop", "self", "and", "or", "not", "is", "in", "continue", "break", "none",
    "None", "null",
];

/// Returns the short name of a variable: lower case, each run of characters other than letters,
/// digits and `_` replaced by one `_`, none at the ends, and a `_` before a first digit.
///
/// `First Name` and `first-name` have the short name `first_name`; `Größe (cm)` has `größe_cm`.
#[must_use]
pub fn short_name(name: &str) -> Cow<'_, str> {
    if is_short(name) {
        return Cow::Borrowed(name);
    }
    let (mut short, mut gap) = (String::with_capacity(name.len()), false);
    for c in nfc(name).to_lowercase().chars() {
        if !is_xid_continue(c) {
            gap = true;
            continue;
        }
        if gap && !short.is_empty() {
            short.push('_');
        }
        if short.is_empty() && !is_start(c) {
            short.push('_');
        }
        short.push(c);
        gap = false;
    }
    Cow::Owned(short)
}

/// Whether a name is its own short name, which is decided without Unicode tables.
fn is_short(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Returns the name under which tera finds a variable.
pub(super) fn tera_name(name: &str) -> Cow<'_, str> {
    let is_start = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let is_ascii_name = name.bytes().next().is_some_and(is_start)
        && name.bytes().all(|b| is_start(b) || b.is_ascii_digit())
        && !RESERVED.contains(&name)
        && !name.starts_with(PREFIX);
    if is_ascii_name {
        return Cow::Borrowed(name);
    }
    let mut encoded = PREFIX.to_owned();
    for byte in nfc(name).bytes() {
        let _ = write!(encoded, "{byte:02x}");
    }
    Cow::Owned(encoded)
}

/// Rewrites names in template source to those of [`tera_name`]. Lines stay the same.
pub(super) fn with_tera_names(source: &str) -> Cow<'_, str> {
    if source.is_ascii() && !source.contains(ALL) {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len() + 64);
    for segment in segments(source) {
        if segment.is_code() {
            out.extend([segment.start(), &rewritten(segment.inner), segment.end()]);
        } else {
            out.push_str(segment.whole);
        }
    }
    Cow::Owned(out)
}

/// Rewrites the content of a tag.
fn rewritten(inner: &str) -> String {
    let words = words(inner);
    let (mut out, mut from, mut next) = (String::with_capacity(inner.len()), 0, 0);
    while let Some(word) = words.get(next) {
        let before = next.checked_sub(1).map_or("", |before| words[before].text);
        let end = word.at + word.text.len();
        let is_field = matches!(before, "." | "?.");
        out.push_str(&inner[from..word.at]);
        (from, next) = (end, next + 1);
        if let (ALL, false, Some(name)) = (word.text, is_field, literal_index(&words[next..])) {
            out.push_str(&tera_name(name));
            from = words[next + 2].at + 1;
            next += 3;
        } else if is_field && is_foreign(word.text) {
            // tera reads any field in brackets.
            out.truncate(out.rfind(before).unwrap_or(out.len()));
            out.push_str(if before == "?." { "?" } else { "" });
            out.extend(["[\"", word.text, "\"]"]);
        } else if is_foreign(word.text) {
            out.push_str(&tera_name(word.text));
        } else {
            out.push_str(word.text);
        }
    }
    out.push_str(&inner[from..]);
    out
}

/// Returns the text of `["text"]` at the start of some words.
fn literal_index<'a>(words: &[Word<'a>]) -> Option<&'a str> {
    let [open, text, close, ..] = words else { return None };
    let name = text.text.strip_prefix(['"', '\'', '`']).and_then(|text| text.strip_suffix(['"', '\'', '`']))?;
    (open.text == "[" && close.text == "]" && !name.contains('\\')).then_some(name)
}

/// Whether a word is a name that tera does not accept.
fn is_foreign(word: &str) -> bool {
    !word.is_ascii() && word.starts_with(is_start)
}

/// Whether a name can begin with a character.
pub(super) fn is_start(c: char) -> bool {
    is_xid_start(c) || c == '_'
}

/// Replaces encoded names in a message of tera by the written ones.
pub(super) fn with_written_names(message: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(message.len()), message);
    while let Some((before, after)) = rest.split_once(PREFIX) {
        let end = after.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(after.len());
        let (digits, after) = after.split_at(end);
        out.push_str(before);
        match decoded(digits) {
            Some(name) => out.push_str(&name),
            None => out.extend([PREFIX, digits]),
        }
        rest = after;
    }
    out + rest
}

fn decoded(digits: &str) -> Option<String> {
    let bytes = digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
    String::from_utf8(bytes.collect::<Option<_>>()?).ok()
}

fn nfc(name: &str) -> Cow<'_, str> {
    if is_nfc(name) { Cow::Borrowed(name) } else { Cow::Owned(name.nfc().collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names() {
        for (name, short) in [
            ("name", "name"),
            ("First Name", "first_name"),
            ("first-name", "first_name"),
            ("FIRST_NAME", "first_name"),
            ("  First   Name ", "first_name"),
            ("E-Mail", "e_mail"),
            ("_id", "_id"),
            ("a__b", "a__b"),
            ("Imię", "imię"),
            ("imie\u{328}", "imię"),
            ("Straße", "straße"),
            ("名前", "名前"),
            ("नाम हिन्दी", "नाम_हिन्दी"),
            ("Größe (cm)", "größe_cm"),
            ("2nd line", "_2nd_line"),
            ("%", ""),
            ("", ""),
        ] {
            assert_eq!(short_name(name), short, "{name}");
        }
    }

    #[test]
    fn names_that_tera_does_not_accept_are_rewritten() {
        let encoded = |name: &str| tera_name(name).into_owned();
        for (source, expected) in [
            ("{{ name }} {{ a.b }} imię", "{{ name }} {{ a.b }} imię".to_owned()),
            ("{{ imię }}", format!("{{{{ {} }}}}", encoded("imię"))),
            ("{{ imie\u{328} }}", format!("{{{{ {} }}}}", encoded("imię"))),
            ("{%- if 名前 -%}", format!("{{%- if {} -%}}", encoded("名前"))),
            ("{{ a.imię }}{{ a?.imię.b }}", "{{ a[\"imię\"] }}{{ a?[\"imię\"].b }}".to_owned()),
            ("{{ vars[\"Größe (cm)\"] }}", format!("{{{{ {} }}}}", encoded("Größe (cm)"))),
            ("{{ vars [ '2nd line' ] | upper }}", format!("{{{{ {} | upper }}}}", encoded("2nd line"))),
            ("{{ vars[\"name\"] }}", "{{ name }}".to_owned()),
            ("{{ a.vars[\"b c\"] }}{{ vars[b] }}{{ 'vars[\"b\"]' }}", {
                "{{ a.vars[\"b c\"] }}{{ vars[b] }}{{ 'vars[\"b\"]' }}".to_owned()
            }),
            ("{# imię #}{% raw %}{{ imię }}{% endraw %}", "{# imię #}{% raw %}{{ imię }}{% endraw %}".to_owned()),
        ] {
            assert_eq!(with_tera_names(source), expected, "{source}");
        }
    }

    #[test]
    fn messages_have_the_written_names() {
        for name in ["imię", "Größe (cm)", "2nd line", "in", "", "postroom_name_"] {
            let message = format!("Variable `{}` is not defined", tera_name(name));
            assert_eq!(with_written_names(&message), format!("Variable `{name}` is not defined"));
        }
        assert_eq!(with_written_names("postroom_name_zz postroom_name_ff"), "zz postroom_name_ff");
    }
}

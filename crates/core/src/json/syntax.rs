//! Parses JSON, and describes what is wrong with a text that is not JSON.

use serde_json::{Map, Value};

use super::{unique::UniqueValue, wrong_form};
use crate::InvalidInput;

/// Field of an error about a text that is not JSON.
const FIELD: &str = "JSON";

/// The parser's words for a fault, and the words of our messages. The parser does not export its
/// list of faults.
const FAULTS: [(&str, &str); 18] = [
    ("EOF while parsing a string", "the text ends within a string; the closing \" is missing"),
    ("EOF while parsing an object", "the text ends within an object; the closing } is missing"),
    ("EOF while parsing a list", "the text ends within a list; the closing ] is missing"),
    ("EOF while parsing a value", "the text ends where a value is missing"),
    ("expected `:`", "a key needs a colon and a value"),
    ("expected `,` or `]`", "a comma or the closing ] of a list is missing"),
    ("expected `,` or `}`", "a comma or the closing } of an object is missing"),
    (
        "expected ident",
        "this is not a JSON value; it may be a string in double quotes, a number, true, false, null, a list or an \
         object",
    ),
    (
        "expected value",
        "this is not a JSON value; it may be a string in double quotes, a number, true, false, null, a list or an \
         object",
    ),
    ("invalid escape", "a backslash may be followed by \", \\, /, b, f, n, r, t or u"),
    ("invalid number", "this is not a JSON number; it may be -1.5e3, for example"),
    ("number out of range", "a number is too large"),
    ("invalid unicode code point", "a string is not UTF-8"),
    ("control character", "a string contains a line break or control character; write it as \\n, \\t or \\u001b"),
    ("key must be a string", "a key needs double quotes"),
    ("trailing comma", "a comma stands before the closing bracket"),
    ("trailing characters", "more text follows the end of the value"),
    ("recursion limit exceeded", "lists and objects are nested too deeply; they may have 100 levels"),
];

/// Both halves of this fault have several names.
const SURROGATE: &str = "a \\u escape is not complete; a character beyond \\uffff needs two of them";

/// Parses a JSON text that holds one object, in which each key occurs once. `first_line` is the
/// number of its first line in the input.
///
/// # Errors
///
/// Returns the fault in plain words, with its line and character.
pub fn parse_object(text: &[u8], first_line: u64) -> Result<Map<String, Value>, InvalidInput> {
    match parse_value(text, first_line)? {
        Value::Object(object) => Ok(object),
        other => Err(wrong_form(FIELD, &other, "an object, such as {\"to\": \"ann@example.org\"}")),
    }
}

/// Parses a JSON text, in which each key of an object occurs once.
///
/// # Errors
///
/// Returns the fault in plain words, with its line and character.
pub fn parse_value(text: &[u8], first_line: u64) -> Result<Value, InvalidInput> {
    serde_json::from_slice::<UniqueValue>(text)
        .map(|UniqueValue(value)| value)
        .map_err(|error| InvalidInput::new(FIELD, describe(text, first_line, &error)))
}

fn describe(text: &[u8], first_line: u64, error: &serde_json::Error) -> String {
    let message = error.to_string();
    let words = message.rsplit_once(" at line ").map_or(&*message, |(words, _)| words);
    let (line, rest) = (error.line().saturating_sub(1), error.column().saturating_sub(1));
    let bytes = text.split(|byte| *byte == b'\n').nth(line).unwrap_or_default();
    let before = &bytes[..rest.min(bytes.len())];
    let character = 1 + String::from_utf8_lossy(before).chars().count();
    let found = found_at(&bytes[before.len()..]);
    let found = if has_found(words) && !found.is_empty() { format!(" (found {found})") } else { String::new() };
    let place = match line {
        0 => format!("character {character}"),
        line => format!("line {}, character {character}", first_line + line as u64),
    };
    format!("{}{found}, {place}", plain(words))
}

/// Returns our words for a fault; a fault of our own has them already.
fn plain(words: &str) -> &str {
    if words.contains("surrogate") || words.contains("hex escape") {
        return SURROGATE;
    }
    FAULTS.iter().find(|(theirs, _)| words.starts_with(theirs)).map_or(words, |(_, ours)| ours)
}

/// Whether the text at the fault explains it.
fn has_found(words: &str) -> bool {
    ["expected value", "expected ident", "key must", "trailing characters", "expected `,`", "invalid number"]
        .iter()
        .any(|start| words.starts_with(start))
}

/// Returns the first word at a fault, or its first character.
fn found_at(rest: &[u8]) -> String {
    const SHOWN: usize = 20;
    let text = String::from_utf8_lossy(&rest[..rest.len().min(4 * SHOWN)]);
    let is_word = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.');
    let word: String = text.chars().take(SHOWN).take_while(is_word).collect();
    if word.is_empty() { text.trim().chars().take(1).collect() } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(parse_value(text.as_bytes(), 7).expect_err(text).to_string(), format!("JSON: {expected}"), "{text}");
    }

    #[test]
    fn each_fault_is_described_in_plain_words() {
        let value = "this is not a JSON value; it may be a string in double quotes, a number, true, false, null, a \
         list \
                     or an object";
        for (text, expected) in [
            ("{\"a\": \"b", "the text ends within a string; the closing \" is missing, character 8"),
            ("{\"a\": 1", "the text ends within an object; the closing } is missing, character 7"),
            ("[1", "the text ends within a list; the closing ] is missing, character 2"),
            ("", "the text ends where a value is missing, character 1"),
            ("{\"a\" 1}", "a key needs a colon and a value, character 6"),
            ("[1 2]", "a comma or the closing ] of a list is missing (found 2), character 4"),
            ("{\"a\": 1 \"b\": 2}", "a comma or the closing } of an object is missing (found \"), character 9"),
            ("{\"a\": 1,}", "a comma stands before the closing bracket, character 9"),
            ("[1,]", "a comma stands before the closing bracket, character 4"),
            ("{'a': 1}", "a key needs double quotes (found '), character 2"),
            ("{a: 1}", "a key needs double quotes (found a), character 2"),
            ("{\"ż\": True}", &format!("{value} (found True), character 7")),
            ("{\"a\": NaN}", &format!("{value} (found NaN), character 7")),
            ("[nul]", &format!("{value} (found ]), character 5")),
            ("{\"a\": 'b'}", &format!("{value} (found '), character 7")),
            ("[01]", "this is not a JSON number; it may be -1.5e3, for example (found 1), character 3"),
            ("[1e999]", "a number is too large, character 6"),
            ("[\"\\x\"]", "a backslash may be followed by \", \\, /, b, f, n, r, t or u, character 4"),
            ("[\"\\ud800x\"]", &format!("{SURROGATE}, character 9")),
            ("{} {}", "more text follows the end of the value (found {), character 4"),
            ("{},", "more text follows the end of the value (found ,), character 3"),
            ("{\"a\": 1, \"a\": 2}", "the key \"a\" occurs twice in one object, character 12"),
            ("{\"a\":\n  [1,\n  2,]}", "a comma stands before the closing bracket, line 9, character 5"),
            (
                "{\"a\": \"b\nc\"}",
                "a string contains a line break or control character; write it as \\n, \\t or \\u001b, line 8, \
                 character 1",
            ),
        ] {
            check(text, expected);
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        check(&deep, "lists and objects are nested too deeply; they may have 100 levels, character 128");
        assert_eq!(
            parse_value(b"[\"\xff\"]", 1).expect_err("bytes").to_string(),
            "JSON: a string is not UTF-8, character 3"
        );
    }

    #[test]
    fn values_are_those_of_the_parser() {
        for text in ["null", "[true,1,-2,1.5,18446744073709551615,\"ż\\n\"]", "{\"b\":{\"a\":[]},\"a\":{}}"] {
            let expected: Value = serde_json::from_str(text).expect(text);
            assert_eq!(parse_value(text.as_bytes(), 1), Ok(expected), "{text}");
        }
    }

    #[test]
    fn only_an_object_is_an_object() {
        let problem = parse_object(b"[1]", 1).expect_err("a list").to_string();
        assert_eq!(problem, "JSON: a list is not valid; it may be an object, such as {\"to\": \"ann@example.org\"}");
    }
}

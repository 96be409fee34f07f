//! Rows of a file of JSON: one object a line, one list of objects, or objects over several lines.
//! With a template a row is an address, fields of the mail and variables; without one it is a
//! complete mail.

use std::io::Read;

use postroom_core::{InvalidInput, Mail, mailboxes_from_json, parse_object};
use serde_json::{Map, Value};

use super::{
    csv::MAX_RECORD,
    json_records::{JsonRecord, JsonRecords, RecordFault},
    row::{BulkRow, Rows, Unreadable, is_address, take_mail_fields},
};

/// Name of the flag in errors.
const FLAG: &str = "--jsonl";

struct JsonRows<R> {
    records: JsonRecords<R>,
    format: JsonRowFormat,
}

/// Format and maximum size of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JsonRowFormat {
    /// Whether a row is an address with variables for a template, not a complete mail.
    pub(crate) with_template: bool,
    /// Maximum number of bytes of a row, so that a file without line breaks does not fill the
    /// memory.
    pub(crate) max_bytes: usize,
}

impl JsonRowFormat {
    /// Limits a row of variables to the size of a CSV record, and a complete mail to twice the
    /// maximum message size.
    pub(crate) fn new(with_template: bool, max_message_size: u64) -> Self {
        let whole = usize::try_from(max_message_size.saturating_mul(2)).unwrap_or(usize::MAX);
        let max_bytes = if with_template { MAX_RECORD } else { whole.max(MAX_RECORD) };
        Self { with_template, max_bytes }
    }
}

/// Reads the first line and returns an iterator over the rows.
///
/// # Errors
///
/// [`InvalidInput`] if the input can't be read.
pub(super) fn open(input: impl Read + 'static, format: JsonRowFormat) -> Result<Rows, InvalidInput> {
    let records = JsonRecords::open(input, format.max_bytes).map_err(unreadable)?;
    Ok(Box::new(JsonRows { records, format }))
}

/// Checks that a list is closed, and what stands between its items, before any row is used.
///
/// # Errors
///
/// [`InvalidInput`] with the line of the first fault.
pub(super) fn check_structure(input: impl Read, format: JsonRowFormat) -> Result<(), InvalidInput> {
    let mut records = JsonRecords::open(input, format.max_bytes).map_err(unreadable)?;
    if records.has_structure() {
        while records.next().map_err(unreadable)?.is_some() {}
    }
    Ok(())
}

impl<R: Read> Iterator for JsonRows<R> {
    type Item = Result<BulkRow, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.records.next() {
            Ok(record) => record.map(|record| self.format.row(&record)),
            Err(fault) => Some(Err(Unreadable::Input(unreadable(fault)))),
        }
    }
}

impl JsonRowFormat {
    fn row(self, record: &JsonRecord<'_>) -> Result<BulkRow, Unreadable> {
        let line = record.line;
        let mail = match record.text {
            Ok(text) if self.with_template => mail_of_vars(text, line).map_err(|error| error.to_string()),
            Ok(text) => Mail::from_json_at(text, line).map_err(|error| error.to_string()),
            Err(length) => Err(format!("it has {length} bytes; a row may have {}", self.max_bytes)),
        };
        mail.map(|mail| BulkRow { line, mail }).map_err(|problem| Unreadable::Row { line, problem })
    }
}

/// Parses `{"to": …, "name": …}`. Every key except the address and the fields of the mail is a
/// variable, and so is every key of an object `vars`.
fn mail_of_vars(text: &[u8], line: u64) -> Result<Mail, InvalidInput> {
    let mut keys = parse_object(text, line)?;
    let to = recipients(&mut keys)?;
    let mail = Mail::from_json_object(take_mail_fields(&mut keys))?;
    if let Some(Value::Object(more)) = keys.get("vars").cloned() {
        keys.remove("vars");
        keys.extend(more);
    }
    Ok(Mail { to, vars: keys, ..mail })
}

/// Removes the key that holds the address, and returns its addresses.
fn recipients(keys: &mut Map<String, Value>) -> Result<Vec<postroom_core::Mailbox>, InvalidInput> {
    let mut found = None;
    let names: Vec<String> = keys.keys().filter(|name| is_address(name)).cloned().collect();
    for name in names {
        let value = keys.remove(&name).unwrap_or_default();
        let to = mailboxes_from_json(&name, value)?;
        if !to.is_empty() && found.replace(to).is_some() {
            return Err(InvalidInput::new(name, "it is a second address; one key may be to or email"));
        }
    }
    found.ok_or_else(|| InvalidInput::new("to", "the row has no address; it needs one key to or email"))
}

fn unreadable(fault: RecordFault) -> InvalidInput {
    match fault {
        RecordFault::Unreadable(error) => InvalidInput::new(FLAG, format!("reading failed: {error}")),
        RecordFault::Malformed { line, problem } => InvalidInput::new(FLAG, format!("line {line}: {problem}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: JsonRowFormat = JsonRowFormat { with_template: false, max_bytes: 1_000 };

    /// Returns line and subject of each row, or its error.
    fn rows_of(text: &str) -> Result<Vec<String>, InvalidInput> {
        check_structure(text.as_bytes(), WHOLE)?;
        let rows = open(std::io::Cursor::new(text.to_owned()), WHOLE)?;
        Ok(rows
            .map(|row| match row {
                Ok(BulkRow { line, mail }) => format!("{line} {}", mail.subject.unwrap_or_default()),
                Err(Unreadable::Row { line, problem }) => format!("{line} {problem}"),
                Err(Unreadable::Input(problem)) => panic!("{problem}"),
            })
            .collect())
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(rows_of(text).expect(text), expected, "{text}");
    }

    #[test]
    fn rows_are_lines_or_items_of_a_list_or_objects_over_several_lines() {
        for text in [
            "{\"subject\":\"a\"}\n{\"subject\":\"b\"}\n",
            "{\"subject\":\"a\"}\r\n{\"subject\":\"b\"}",
            "\u{feff}\u{feff}{\"subject\":\"a\"}\n {\"subject\":\"b\"} ",
            "\u{1e}{\"subject\":\"a\"}\n\u{1e}{\"subject\":\"b\"}\n",
        ] {
            check(text, &["1 a", "2 b"]);
        }
        check("\n \r\n{\"subject\":\"a\"}\n\n\t\n{\"subject\":\"b\"}\n\n", &["3 a", "6 b"]);
        check("[{\"subject\":\"a\"},{\"subject\":\"b\"}]", &["1 a", "1 b"]);
        check("\u{feff}\n[\r\n  {\"subject\":\"a\"},\r\n  {\"subject\":\"b\"}\r\n]\r\n", &["3 a", "4 b"]);
        check("[{\n\"subject\":\n\"a]},{\\\"\"\n}\n,\n{\"subject\":\"b\"}]", &["1 a]},{\"", "6 b"]);
        check("{\n  \"subject\": \"}{\",\n  \"vars\": {\"a\": [1]}\n}\n{\n\"subject\":\"b\"}", &["1 }{", "5 b"]);
        check("{\n\"subject\":\"a\"}{\"subject\":\"b\"}", &["1 a", "2 b"]);
        check("[]", &[]);
        check(" [ ] \n", &[]);
        check("", &[]);
    }

    #[test]
    fn one_bad_row_leaves_the_others() {
        let many = "cc: the number 5 is not valid; it may be an address, such as \"Ann <ann@example.org>\" or \
                    {\"name\": \"Ann\", \"email\": \"ann@example.org\"}";
        check("{\"subject\":\"a\"}\n{\"cc\":5}\n{\"subject\":\"c\"}", &["1 a", &format!("2 {many}"), "3 c"]);
        check("[{\"subject\":\"a\"},\n{\"cc\":5},\n{\"subject\":\"c\"}]", &["1 a", &format!("2 {many}"), "3 c"]);
        check(
            "[{\"subject\":\"a\"},\n7,\n{\"subject\": \"c\",\n \"x\" 1},\n{\"subject\":\"d\"}]",
            &[
                "1 a",
                "2 JSON: the number 7 is not valid; it may be an object, such as {\"to\": \"ann@example.org\"}",
                "3 JSON: a key needs a colon and a value, line 4, character 6",
                "5 d",
            ],
        );
        check(
            "{\"subject\":\"a\"},\n{\"subject\":\"b\"} {}\n{\"subject\":\"c\"\n{\"subject\":\"d\",}\n",
            &[
                "1 JSON: more text follows the end of the value (found ,), character 16",
                "2 JSON: more text follows the end of the value (found {), character 17",
                "3 JSON: the text ends within an object; the closing } is missing, line 4, character 1",
                "4 JSON: a comma stands before the closing bracket, character 16",
            ],
        );
    }

    /// A fault between the items of a list is found before any row is used.
    #[test]
    fn a_malformed_list_has_no_rows() {
        for (text, expected) in [
            ("[{},\n{},\n]\n", "line 3: a comma stands before the closing ] of the list"),
            ("[{},\n,{}]", "line 2: a comma stands where a mail is missing"),
            (
                "[{},\n{}\n",
                "line 2: what begins here is not closed before the text ends; a bracket, a brace or a quote is missing",
            ),
            ("[{},\n", "line 2: the text ends within the list; its closing ] is missing"),
            (
                "[{},\n{\"a\": \"b},\n{}]\n",
                "line 2: what begins here is not closed before the text ends; a bracket, a brace or a quote is missing",
            ),
            ("[{}]\n{}", "line 2: more text follows the end of the list"),
            ("{\n},\n{\n}", "line 2: a comma follows the object; objects stand in a list or without commas"),
            (
                "{\n\"a\":\n",
                "line 1: what begins here is not closed before the text ends; a bracket, a brace or a quote is missing",
            ),
            ("{\n}\nx", "line 3: more text follows the object"),
        ] {
            assert_eq!(rows_of(text).expect_err(text).to_string(), format!("--jsonl: {expected}"), "{text}");
        }
        let utf16 = b"\xff\xfe{\0}\0";
        let error = check_structure(&utf16[..], WHOLE).expect_err("UTF-16").to_string();
        assert_eq!(error, "--jsonl: line 1: the text is UTF-16; convert it with: iconv -f UTF-16 -t UTF-8");
    }

    #[test]
    fn a_row_that_is_too_long_is_one_bad_row() {
        let text = "{\"to\": \"a@example.org\", \"x\": \"123456789\"}\n{\"to\": \"b@example.org\"}\n";
        let list = format!("[{}]", text.trim_end().replace('\n', ",\n"));
        for (max_bytes, valid) in [(43, 2), (42, 2), (41, 1), (30, 1), (24, 1), (22, 0)] {
            for text in [text, &list] {
                let format = JsonRowFormat { with_template: true, max_bytes };
                // The line break counts for a line.
                let valid = if text.starts_with('[') && max_bytes == 41 { 2 } else { valid };
                let rows: Vec<_> = open(std::io::Cursor::new(text.to_owned()), format).expect("rows").collect();
                let lines: Vec<u64> = rows.iter().filter_map(|row| row.as_ref().ok()).map(|row| row.line).collect();
                assert_eq!((rows.len(), lines.len()), (2, valid), "{max_bytes}: {text}");
                for row in rows.into_iter().filter_map(Result::err) {
                    let Unreadable::Row { line, problem } = row else { panic!("{row:?}") };
                    let expected = format!("a row may have {max_bytes}");
                    assert!((1..=2).contains(&line) && problem.contains(&expected), "{problem}");
                }
            }
        }
    }

    /// A row of a template has one address in any form; the other keys are variables.
    #[test]
    fn a_row_of_variables_has_one_address() {
        let read = |text: &str| {
            mail_of_vars(text.as_bytes(), 1)
                .map(|mail| serde_json::to_string(&mail).expect("JSON"))
                .unwrap_or_else(|error| error.to_string())
        };
        for (text, expected) in [
            (r#"{"to":"a@b.org","n":1}"#, r#"{"to":["a@b.org"],"vars":{"n":1}}"#),
            (r#"{"Email":{"name":"A","address":"a@b.org"},"n":null}"#, r#"{"to":["A <a@b.org>"],"vars":{"n":null}}"#),
            (r#"{"to":"a@b.org","email":null,"vars":{"n":[1]}}"#, r#"{"to":["a@b.org"],"vars":{"n":[1]}}"#),
            (r#"{"to":"a@b.org","email":"b@b.org"}"#, "to: it is a second address; one key may be to or email"),
            (r#"{"to":[""],"n":1}"#, "to: the row has no address; it needs one key to or email"),
            (r#"{"n":1}"#, "to: the row has no address; it needs one key to or email"),
            (r#"{"to":"a@b.org","n":1,"n":2}"#, "JSON: the key \"n\" occurs twice in one object, character 25"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}

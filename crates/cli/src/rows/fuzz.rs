//! Fuzz tests of the CSV and JSON lines readers.

use std::io::{Cursor, Read};

use ::csv::{QuoteStyle, Terminator};
use postroom_core::Mail;
use postroom_testkit::fuzz::{self, Case, Fuzz};
use serde_json::Value;

use super::{
    csv::{self, CsvHeader, CsvRowFormat, QuoteCheck},
    encoding::Utf8Reader,
    jsonl,
    row::{BulkRow, Rows, Unreadable},
    survey::survey,
};

const FILES: [&str; 12] = [
    "to,name\na@example.org,Ann\nb@example.org,Ben\n",
    "\u{feff}email,name,city\r\na@example.org,\"Ann, the \"\"first\"\"\",Łódź\r\n",
    "name,to\n\"two\nlines\",a@example.org\n\n\nx,b@example.org",
    "to\na@example.org\rb@example.org\r",
    "to,name\na@example.org,\"never closed\nb@example.org,x\n",
    "email,name\nx,y,z\na@b\n\"a@b\",\"q\"\"\n\"\n",
    "to,to\na,b\n",
    "sep=;\nE-mail Address;Name;;\n a@example.org ; \"Ann; Lee\" ;\n;;;\n",
    "id|Adres e-mail|name\n=\"001\"|a@example.org|\\N\n2|b@example.org\n",
    "email\tname\r\na@example.org\t\"say \\\"hi\\\"\"\r\n",
    "",
    "Email ,name\n\"Ann <a@example.org>\",\u{0}\n",
];

const LINES: [&str; 9] = [
    "[{\"to\":\"a@example.org\"},\n{\"to\":[{\"email\":\"b@example.org\",\"name\":\"B\"}],\"text\":\"\"}]\n",
    "{\n\"to\": \"a@example.org\",\n\"subject\": null\n}\n{\"to\":\"b@example.org\"}\n",
    "[\n{\"to\":\"a@example.org\",\"attachments\":{\"name\":\"a\",\"content\":\"data:;base64,aGk\"}},]",
    "{\"to\":\"a@example.org\",\"name\":\"Ann\"}\n{\"email\":\"b@example.org\",\"n\":1}\n",
    "{\"to\":[\"a@example.org\",\"b@example.org\"],\"subject\":\"Hi\",\"text\":\"x\"}\r\n",
    "\u{feff}{\"to\":\"a@example.org\",\"vars\":{\"a\":1}}\n\n  \n{\"to\":1}\n",
    "{\"to\":\"a@example.org\",\"attachments\":[{\"filename\":\"a\",\"content\":\"aGk=\"}]}",
    "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]\n{\"to\":null}\n{}",
    "{\"to\":\"a@example.org\",\"a\":{\"b\":{\"c\":[1.5e300,-0,null,\"\\u0000\\ud83d\\ude00\"]}}}\n",
];

/// Reader that returns at most `block` bytes at a time.
pub(super) struct SlowReader {
    input: Cursor<Vec<u8>>,
    block: usize,
}

impl SlowReader {
    pub(super) fn new(bytes: &[u8], block: usize) -> Self {
        Self { input: Cursor::new(bytes.to_vec()), block }
    }
}

impl Read for SlowReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = self.block.min(buffer.len());
        self.input.read(&mut buffer[..size])
    }
}

/// Returns all rows up to the first error of the input itself.
fn read(rows: Rows) -> Vec<Result<BulkRow, Unreadable>> {
    let mut all = Vec::new();
    for row in rows {
        let is_last = matches!(row, Err(Unreadable::Input(_)));
        all.push(row);
        if is_last {
            break;
        }
    }
    all
}

/// Checks that line numbers rise from row to row and lie within the file. Rows of JSON, which begin
/// at line 1, may share a line.
fn check_lines(bytes: &[u8], rows: &[Result<BulkRow, Unreadable>], first: u64) {
    let lines = 1 + bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64;
    let mut last = first - 1;
    for row in rows {
        let line = match row {
            Ok(BulkRow { line, .. }) | Err(Unreadable::Row { line, .. }) => *line,
            Err(Unreadable::Input(_)) => continue,
        };
        assert!(last + (first - 1) <= line && line <= lines, "line {line} after {last} of {lines}: {row:?}");
        last = line;
    }
}

/// Surveys and reads a CSV; `None` if it is refused.
fn read_csv(bytes: &[u8], block: usize, delimiter: Option<&str>) -> Option<Vec<Result<BulkRow, Unreadable>>> {
    let open = || SlowReader::new(bytes, block);
    let delimiter = delimiter.map(|text| text.parse().expect("a delimiter"));
    let format = CsvRowFormat { delimiter, address_column: None };
    let header = CsvHeader::read(&format, || Ok(Utf8Reader::new(open()))).ok()?;
    survey(open(), true, Some(QuoteCheck::new(header.delimiter()))).ok()?;
    csv::open(&header, Utf8Reader::new(open())).ok().map(read)
}

#[test]
fn csv() {
    let tokens = [
        "\"",
        "\"\"",
        ",",
        ";",
        "\t",
        "|",
        "\n",
        "\r\n",
        "\r",
        "to",
        "email",
        "a@example.org",
        "\u{feff}",
        "\0",
        "\n\"",
        "\",\"",
        "\\",
        "\\\"",
        "\\N",
        "sep=;\n",
        "=\"",
        " ",
    ];
    Fuzz::target("csv").seeds(FILES).tokens(&tokens).run(|case: &mut Case<'_>| {
        let mut bytes = case.bytes();
        if case.one_in(8) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            bytes = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        }
        let whole = read_csv(&bytes, usize::MAX, None);
        assert_eq!(read_csv(&bytes, 1 + case.below(99), None), whole, "the block size changes the rows");
        let Some(whole) = whole else { return };
        check_lines(&bytes, &whole, 2);
        let mails: Vec<Mail> = whole.into_iter().filter_map(Result::ok).map(|row| bare(&row.mail)).collect();
        assert!(mails.iter().all(|mail| mail.to.len() == 1), "a row has one recipient");
        // These are read as another value the second time.
        let mut values = mails.iter().flat_map(|mail| mail.vars.values()).filter_map(Value::as_str);
        if values.any(|value| value.starts_with('=') || value == "\\N") {
            return;
        }
        assert_eq!(round_trip(&mails, case), mails);
    });
}

/// Returns the recipients and variables only.
fn bare(mail: &Mail) -> Mail {
    Mail { to: mail.to.clone(), vars: mail.vars.clone(), ..Mail::default() }
}

/// Writes the mails with the `csv` crate, in one of many dialects, and reads them back.
fn round_trip(mails: &[Mail], case: &mut Case<'_>) -> Vec<Mail> {
    let Some(first) = mails.first() else { return Vec::new() };
    let names: Vec<&String> = first.vars.keys().collect();
    let delimiter = *case.pick(&[",", ";", "\t", "|"]);
    let mut writer = ::csv::WriterBuilder::new()
        .delimiter(delimiter.as_bytes()[0])
        .terminator(*case.pick(&[Terminator::CRLF, Terminator::Any(b'\n'), Terminator::Any(b'\r')]))
        .quote_style(*case.pick(&[QuoteStyle::Necessary, QuoteStyle::Always, QuoteStyle::NonNumeric]))
        .from_writer(Vec::new());
    writer.write_record([&"to".to_owned()].into_iter().chain(names.iter().copied())).expect("memory");
    for mail in mails {
        let fields = names.iter().map(|name| mail.vars[*name].as_str().expect("text").to_owned());
        writer.write_record([mail.to[0].to_string()].into_iter().chain(fields)).expect("memory");
    }
    let bytes = writer.into_inner().expect("memory");
    // Another delimiter in a name may make two headers equally likely.
    let is_plain = !names.iter().any(|name| name.contains([',', ';', '\t', '|']));
    let rows = read_csv(&bytes, usize::MAX, (!is_plain).then_some(delimiter)).expect("a file that was read once");
    rows.into_iter().map(|row| row.expect("a row that was read once").mail).collect()
}

#[test]
fn json() {
    let tokens = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        "\n",
        "\r\n",
        "\"to\":",
        "\"email\":",
        "\"vars\":",
        "null",
        "\\u0000",
        "\\ud800",
        "1e999",
        "\u{feff}",
    ];
    Fuzz::target("json").seeds(LINES).tokens(&tokens).run(|case: &mut Case<'_>| {
        let (bytes, with_template) = (case.bytes(), case.one_in(2));
        let rows = |block| jsonl::open(SlowReader::new(&bytes, block), format(with_template)).map(read);
        let whole = rows(usize::MAX);
        assert_eq!(rows(1 + case.below(99)), whole, "the block size changes the rows");
        let Ok(whole) = whole else { return };
        check_lines(&bytes, &whole, 1);
        for row in whole.iter().filter_map(|row| row.as_ref().ok()) {
            if with_template { check_variables(&row.mail) } else { check_mail(&row.mail) }
        }
    });
}

fn format(with_template: bool) -> jsonl::JsonRowFormat {
    jsonl::JsonRowFormat::new(with_template, 1 << 20)
}

fn check_mail(mail: &Mail) {
    let line = serde_json::to_string(mail).expect("JSON");
    let again = read(jsonl::open(Cursor::new(line.into_bytes()), format(false)).expect("a line"));
    let [Ok(row)] = &again[..] else { panic!("{mail:?}: {again:?}") };
    assert_eq!(rounded(&row.mail), rounded(mail));
}

/// Checks that a row of a template has no content of its own, and survives a round trip.
fn check_variables(mail: &Mail) {
    assert_eq!((&mail.text, &mail.html, &mail.template), (&None, &None, &None));
    let mut line = serde_json::to_value(mail).expect("JSON");
    line["vars"] = Value::Object(mail.vars.clone());
    let again = read(jsonl::open(Cursor::new(line.to_string().into_bytes()), format(true)).expect("a line"));
    let has_own_vars = mail.vars.get("vars").is_some_and(Value::is_object);
    let [Ok(row)] = &again[..] else { panic!("{line}: {again:?}") };
    assert!(has_own_vars || rounded(&row.mail) == rounded(mail), "{line}: {:?}", row.mail);
}

fn rounded(mail: &Mail) -> Value {
    fuzz::rounded(serde_json::to_value(mail).expect("JSON"))
}

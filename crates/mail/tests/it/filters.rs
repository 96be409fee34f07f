//! Filters: each documented example has the documented output, and none exceeds the limits.

use postroom_mail::Templates;
use serde_json::{Map, Value, json};

use crate::templates::folder;

/// Filters of this crate, beyond those of tera.
const OWN: [&str; 8] =
    ["urlencode", "urlencode_strict", "date", "number_format", "json_encode", "striptags", "slugify", "truncate"];

fn render(body: &str, vars: &Map<String, Value>) -> Result<String, String> {
    let folder = folder(&[("t/subject.txt", "s"), ("t/body.txt", body)]);
    let templates = Templates::load(folder.path()).map_err(|error| error.to_string())?;
    templates.render("t", vars, None).map(|rendered| rendered.text).map_err(|error| error.to_string())
}

/// Rows `| example | output |` of the documentation: code in both cells, with `\|` for `|`.
fn examples() -> Vec<(String, String)> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/templates.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let cells = |line: &str| -> Option<(String, String)> {
        let line = line.replace("\\|", "\u{1}");
        let cells: Vec<&str> = line.strip_prefix("| `{{")?.trim_end_matches(" |").split(" | ").collect();
        let [example, output] = cells[..] else { panic!("{line}") };
        let output = output.strip_prefix('`')?.strip_suffix('`')?;
        Some((format!("{{{{{}", example.strip_suffix('`')?).replace('\u{1}', "|"), output.to_owned()))
    };
    page.lines().filter_map(cells).collect()
}

#[test]
fn the_documented_examples_are_right() {
    let examples = examples();
    for filter in OWN {
        assert!(examples.iter().any(|(example, _)| example.contains(filter)), "{filter} is not documented");
    }
    assert!(examples.len() >= 30, "{}", examples.len());
    for (example, output) in examples {
        assert_eq!(render(&example, &Map::new()), Ok(output), "{example}");
    }
}

#[test]
fn filters_take_what_rows_contain() {
    for (body, expected) in [
        ("{{ \"1767225600\" | date }}", "2026-01-01"),
        ("{{ 1767225600 | date(format=\"%H:%M\", timezone=\"Asia/Tokyo\") }}", "09:00"),
        ("{{ \"2027-01-31\" | date(format=\"%d.%m.%Y\") }}", "31.01.2027"),
        ("{{ \"2027-01-31 08:05\" | date(format=\"%-d %B %Y, %H:%M\") }}", "31 January 2027, 08:05"),
        ("{{ \"2027-01-31 08:05:09+02\" | date(format=\"%H:%M:%S %z\") }}", "08:05:09 +0200"),
        ("{{ \"2027-07-01T10:00:00Z\" | date(format=\"%H:%M %Z\", timezone=\"Europe/Warsaw\") }}", "12:00 CEST"),
        ("{{ \"Sun, 31 Jan 2027 08:00:00 +0100\" | date }}", "2027-01-31"),
        ("{{ 5 | urlencode }}", "5"),
        ("{{ \"a+b=c&d\" | urlencode }}", "a%2Bb%3Dc%26d"),
        ("{{ \"1234.5\" | number_format(decimals=2, thousands=\" \", point=\",\") }}", "1 234,50"),
        ("{{ 1234567 | number_format }}", "1,234,567"),
        ("{{ 0.1 | number_format(decimals=3) }}", "0.100"),
        ("{{ \"Łódź & Straße\" | slugify }}", "lodz-strasse"),
        ("{{ \"a < b and c > d\" | striptags }}", "a < b and c > d"),
        ("{{ \"<p>a<br/>b</p><!-- <b>c --> d\" | striptags }}", "ab d"),
        ("{{ \"a <b\" | striptags }}", "a <b"),
        ("{{ \"a <!-- b <i>c</i>\" | striptags }}", "a c"),
        ("{{ \"\\\"a\\\"\\nb\" | json_encode }}", "\"\\\"a\\\"\\nb\""),
    ] {
        assert_eq!(render(body, &Map::new()).as_deref(), Ok(expected), "{body}");
    }
}

#[test]
fn a_wrong_value_is_named() {
    for (body, problem) in [
        ("{{ \"31.01.2027\" | date }}", "\"31.01.2027\" is not a date; it may be 2027-01-31 or"),
        ("{{ \"2027-01-31\" | date(format=\"%Q\") }}", "\"%Q\" is not a format; it may be %d.%m.%Y"),
        ("{{ \"2027-01-31\" | date(timezone=\"Mars\") }}", "there is no time zone \"Mars\"; it may be Europe/Warsaw"),
        ("{{ \"1,5\" | number_format }}", "\"1,5\" is not a number; it may be 1234.5"),
        ("{{ 1 | number_format(decimals=101) }}", "decimals may be at most 100"),
    ] {
        let error = render(body, &Map::new()).expect_err(body);
        assert!(error.starts_with("template t: t/body.txt, line 1: ") && error.contains(problem), "{error}");
    }
}

/// The output of one filter is bounded before it is made, and its time is linear.
#[test]
fn a_filter_stays_within_the_limits() {
    let vars = |text: String| json!({ "a": text }).as_object().expect("an object").clone();
    let limit = "an expression of 2 parts may have values of at most 32 MB";
    for (filter, text) in [
        ("urlencode", " ".repeat(12 << 20)),
        ("urlencode_strict", " ".repeat(12 << 20)),
        ("slugify", "ü".repeat(3 << 20)),
        ("json_encode", "\u{1}".repeat(6 << 20)),
        ("number_format(thousands=\"                \")", "1".repeat(2 << 20)),
        ("date(format=a)", "%Y".repeat(1 << 20)),
    ] {
        let error = render(&format!("{{{{ a | {filter} }}}}"), &vars(text)).expect_err(filter);
        assert!(error.contains(limit), "{filter}: {error}");
    }
    for piece in ["<!-- x>", "<", "<!--", "<a", "<a>"] {
        let text = piece.repeat(1 << 20);
        let stripped = render("{{ a | striptags }}", &vars(text.clone())).expect(piece);
        assert_eq!(stripped.is_empty(), piece.ends_with('>'), "{piece}");
    }
}

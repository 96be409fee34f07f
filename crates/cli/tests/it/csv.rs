//! `postroom bulk --csv`: one look over the file before any row is enqueued.

use std::process::Stdio;

use serde_json::json;

use crate::fixture::Fixture;

const NEWS: [&str; 7] = ["bulk", "--template", "newsletter", "--var", "title=T", "--var", "intro=I"];

fn news<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&NEWS[..], more].concat()
}

fn addresses(fixture: &Fixture, batch: &str) -> Vec<String> {
    let jobs = fixture.ok(&["list", "--batch", batch, "--json"]);
    let mut all: Vec<String> = jobs.lines().map(address).collect();
    all.sort();
    all
}

fn address(job: &str) -> String {
    let job: serde_json::Value = serde_json::from_str(job).expect("JSON");
    job["to"].as_str().or(job["to"][0].as_str()).expect("an address").to_owned()
}

#[test]
fn delimiter_and_address_column_can_be_named() {
    let fixture = Fixture::new().with_templates();
    fixture.file("colon.csv", "name:email\nAnn:ann@example.org\n");
    fixture.file("two.csv", "name;Email;Work Email\nAnn;ann@example.org;ann@work.example.org\n");
    fixture.run(&news(&["--csv", "colon.csv"])).refused(2, &["colon.csv", "no address column", "--delimiter"]);
    fixture
        .run(&news(&["--csv", "two.csv"]))
        .refused(2, &["two.csv", "\"Email\"", "\"Work Email\"", "--address-column"]);
    for (args, expected) in [
        (&["--csv", "colon.csv", "--delimiter", ":"][..], "ann@example.org"),
        (&["--csv", "two.csv", "--address-column", "work_email"], "ann@work.example.org"),
        (&["--csv", "two.csv", "--address-column", "Email", "--delimiter", "semicolon"], "ann@example.org"),
    ] {
        let batch = fixture.ok(&news(args));
        assert_eq!(addresses(&fixture, &batch), [expected], "{args:?}");
    }
    for (args, words) in [
        (&["--csv", "two.csv", "--address-column", "e-mail 2"][..], &["\"e-mail 2\"", "name, Email, Work Email"][..]),
        (&["--csv", "two.csv", "--delimiter", "ab"], &["--delimiter", "one ASCII character", "tab"]),
        (&["--jsonl", "two.csv", "--delimiter", "tab"], &["--jsonl", "cannot be used with"]),
        (&["--jsonl", "two.csv", "--address-column", "to"], &["--jsonl", "cannot be used with"]),
    ] {
        fixture.run(&news(args)).refused(2, words);
    }
}

/// A fault near the end of a pipe is found before the first mail is enqueued.
#[test]
fn a_pipe_is_read_to_its_end_first() {
    let fixture = Fixture::new().with_templates();
    let rows: String = (0..3_000).map(|n| format!("a{n}@example.org;A\n")).collect();
    let valid = format!("email;name\n{rows}");
    let (mut latin, mut open) = (valid.clone().into_bytes(), valid.clone().into_bytes());
    latin.extend_from_slice(b"j@example.org;J\xfcrgen\n");
    open.extend_from_slice(b"j@example.org;\"Ann\nb@example.org;Ben\n");
    let utf16: Vec<u8> = format!("\u{feff}{valid}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    fixture.file("latin.csv", &latin);
    fixture.file("open.csv", &open);
    fixture.file("utf16.csv", &utf16);
    let from_stdin = |rows: &[u8]| fixture.run_with(&news(&["--csv", "-"]), rows);
    let line = &["standard input", "line 3002"][..];
    from_stdin(&latin).refused(2, &[line, &["windows-1252", "Jürgen", "| iconv -f WINDOWS-1252 -t UTF-8"]].concat());
    from_stdin(&open).refused(2, &[line, &["never closed", "2 lines"]].concat());
    assert_eq!(fixture.ok(&["list", "--batches", "--json"]), "");
    let ran = from_stdin(&utf16);
    assert_eq!(fixture.status(ran.out())["total"], 3_000, "{ran:?}");
    // A FIFO, and a process substitution of the shell.
    for (file, code, words) in [
        ("latin.csv", 2, &["line 3002", "windows-1252"][..]),
        ("open.csv", 2, &["line 3002", "never closed"]),
        ("utf16.csv", 0, &["3000 mails queued"]),
    ] {
        let postroom = format!("{} {} --csv", env!("CARGO_BIN_EXE_postroom"), NEWS.join(" "));
        let script = format!(
            "rm -f fifo && mkfifo fifo && (cat {file} > fifo & {postroom} fifo; code=$?; wait; \
             {postroom} <(cat {file}); echo $code $?)"
        );
        let mut bash = fixture.command_of("bash");
        let output = bash.args(["-c", &script]).stdin(Stdio::null()).output().expect("bash runs");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(stdout.lines().last(), Some(&*format!("{code} {code}")), "{stderr}");
        for word in words {
            assert_eq!(stderr.matches(word).count(), 2, "{word}: {stderr}");
        }
    }
}

#[test]
fn the_same_complaint_is_printed_once() {
    let fixture = Fixture::new().with_templates();
    let rows: String = (0..9).map(|n| format!("a{n}@example.org,A,x,y\nb{n},B\n")).collect();
    fixture.file("people.csv", format!("email,name\nann@example.org,Ann\n{rows}"));
    let fields = "it has 4 fields, but the header has 2 (a field that contains the delimiter needs quotes)";
    let expected = [
        format!("lines 3, 5, 7, 9, 11 and 4 more: {fields}"),
        "line 4: address: \"b0\" is not an e-mail address: it has no @".to_owned(),
        "line 12: address: \"b4\" is not an e-mail address: it has no @".to_owned(),
        "4 more lines have problems like these 5".to_owned(),
        "1 mail queued, 18 invalid".to_owned(),
    ];
    let ran = fixture.run(&news(&["--csv", "people.csv"]));
    ran.mentions(&expected.each_ref().map(String::as_str));
    assert_eq!(ran.stderr.lines().filter(|line| line.contains("line")).count(), 7, "{ran:?}");
    assert_eq!(fixture.status(ran.out())["invalid"], json!(18));
    let strict = fixture.run(&news(&["--csv", "people.csv", "--strict"]));
    strict.refused(2, &[&expected[0], &expected[1], &expected[2], &expected[3], "18 can't be sent"]);
}

/// With another address column, the same file holds other mails.
#[test]
fn a_key_belongs_to_the_address_column() {
    let fixture = Fixture::new().with_templates();
    fixture.file("two.csv", "name,Email,Work Email\nAnn,ann@example.org,ann@work.example.org\n");
    let run = |column: &str| fixture.run(&news(&["--csv", "two.csv", "--key", "june", "--address-column", column]));
    assert_eq!(run("Email").code, 0);
    assert_eq!(run("Email").code, 0);
    run("Work Email").refused(7, &["june"]);
}

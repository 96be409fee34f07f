//! Exact messages and exit codes of bad input.

use serde_json::{Value, json};

use crate::fixture::Fixture;

const MAIL: [&str; 7] = ["send", "--to", "a@example.org", "--subject", "s", "--text", "t"];
const JOB: &str = "emails-01ARZ3NDEKTSV4RRFFQ69G5FAV";
const BATCH: &str = "b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV";

#[track_caller]
fn check(fixture: &Fixture, args: &[&str], code: i32, stderr: &str) {
    let ran = fixture.run(args);
    let expected = (code, stderr);
    assert_eq!((ran.code, ran.stderr.replace("\n\nFor more information, try '--help'.", "").trim_end()), expected);
}

/// A job, batch, queue, schedule or template that does not exist is exit code 4 in every command
/// that shows or changes what exists. A filter that matches nothing is no error.
#[test]
fn a_name_that_nothing_has_is_exit_code_4() {
    let fixture = Fixture::new().with_templates();
    let no_job = format!("error: {JOB} was not found");
    let no_batch = format!("error: {BATCH} was not found");
    let no_queue = "error: there is no queue buk; it may be bulk, default, emails";
    for (args, message) in [
        (&["status", JOB][..], &*no_job),
        (&["status", BATCH], &no_batch),
        (&["status", JOB, "--watch"], &no_job),
        (&["status", JOB, "--wait", "1s"], &no_job),
        (&["cancel", JOB], &no_job),
        (&["cancel", BATCH], &no_batch),
        (&["retry", JOB], &no_job),
        (&["retry", BATCH], &no_batch),
        (&["resolve", JOB, "sent"], &no_job),
        (&["list", "--batch", BATCH], &no_batch),
        (&["list", "--queue", "buk"], no_queue),
        (&["list", "--batches", "--queue", "buk"], no_queue),
        (&["pause", "buk"], no_queue),
        (&["resume", "buk"], no_queue),
        (&["pause", BATCH], &no_batch),
        (&["resume", BATCH], &no_batch),
        (&["limits", "set", "queue.buk", "2/s"], no_queue),
        (&["limits", "unset", "queue.buk"], no_queue),
        (&["limits", "set", "transport.x", "2/s"], "error: there is no transport x; it may be default"),
        (&["limits", "set", BATCH, "2/s"], &no_batch),
        (&["limits", "unset", BATCH], &no_batch),
        (&["schedule", "run", "x"], "error: there is no schedule x; none exists"),
    ] {
        check(&fixture, args, 4, message);
    }
    for filter in [&["--template", "x"][..], &["--address", "x@example.org"], &["--state", "failed"]] {
        check(&fixture, &[&["list"], filter].concat(), 0, "no job matches");
        check(&fixture, &[&["list", "--json"], filter].concat(), 0, "{\"note\":\"no job matches\"}");
    }
}

#[test]
fn a_bad_flag_is_named() {
    let fixture = Fixture::new().with_templates();
    fixture.file("list.json", "[1]");
    fixture.file("bad.json", "{\"a\": 1,\n \"b\": True}");
    let value = "this is not a JSON value; it may be a string in double quotes, a number, true, false, null, a list or \
                 an object";
    for (more, message) in [
        (
            &["--in", "99999999h"][..],
            "error: invalid value '99999999h' for '--in <DURATION>': \"99999999h\" is too long; a duration may be at \
             most 36600d (100 years)",
        ),
        (
            &["--in", "-5m"],
            "error: invalid value '-5m' for '--in <DURATION>': \"-5m\" is negative; a duration may be 0s or longer",
        ),
        (
            &["--expires-in", "-1h"],
            "error: invalid value '-1h' for '--expires-in <DURATION>': \"-1h\" is negative; a duration may be 0s or \
             longer",
        ),
        (
            &["--wait", "-1s"],
            "error: invalid value '-1s' for '--wait <DURATION>': \"-1s\" is negative; a duration may be 0s or longer",
        ),
        (
            &["--at", "tomorrow"],
            "error: invalid value 'tomorrow' for '--at <TIME>': it may be a time with a zone (RFC 3339), such as \
             2027-01-31T08:00:00Z or 2027-01-31T08:00:00+01:00",
        ),
    ] {
        check(&fixture, &[&MAIL[..], more].concat(), 2, message);
    }
    let html = ["send", "--to", "a@example.org", "--subject", "s", "--html-file", "nofile"];
    check(&fixture, &html, 2, "error: --html-file: nofile can't be read: No such file or directory (os error 2)");
    let text = ["send", "--to", "a@example.org", "--subject", "s", "--text-file", "nofile"];
    check(&fixture, &text, 2, "error: --text-file: nofile can't be read: No such file or directory (os error 2)");
    let of_template = ["send", "--to", "a@example.org", "--template", "newsletter"];
    for (more, message) in [
        (
            ["--var-json", "a=True"],
            format!(
                "error: invalid value 'a=True' for '--var-json <NAME=JSON>': it is not JSON: {value} (found \
             True), character 1"
            ),
        ),
        (
            ["--vars", "list.json"],
            "error: --vars: list.json is not a JSON object: a list is not valid; it may be an \
         object, such as {\"to\": \"ann@example.org\"}"
                .to_owned(),
        ),
        (
            ["--vars", "bad.json"],
            format!(
                "error: --vars: bad.json is not a JSON object: {value} (found True), line 2, \
         character 7"
            ),
        ),
    ] {
        check(&fixture, &[&of_template[..], &more].concat(), 2, &message);
    }
    for number in ["x", "0", "100001", "-1"] {
        let limit = format!("--limit={number}");
        let message =
            format!("error: invalid value '{number}' for '--limit <NUMBER>': it may be a number from 1 to 100000");
        check(&fixture, &["list", &limit], 2, &message);
    }
}

#[test]
fn a_bad_setting_is_named_with_its_place() {
    let kinds = "it may be on_unknown, attempts, backoff, backoff_max, lease, max_age, retention, transports, rate, \
     quota, \
                 per, timezone, over";
    for (toml, message) in [
        (
            "[queue.bulk]\nattempts = 'x'",
            "line 2, [queue.bulk] attempts: the text \"x\" is not valid; it may be a whole number from 0 to 4294967295",
        ),
        (
            "[queue.bulk]\nattempts = -1",
            "line 2, [queue.bulk] attempts: the number -1 is not valid; it may be a whole number from 0 to 4294967295",
        ),
        (
            "[queue.bulk]\n\nrate = 5",
            "line 3, [queue.bulk] rate: the number 5 is not valid; it may be a text in quotes",
        ),
        (
            "[queue.bulk]\nratee = '5/s'",
            &format!("line 2, [queue.bulk] ratee: unknown key \"ratee\" (did you mean rate?); {kinds}"),
        ),
        ("[transport.x]\nhost = 'h'", "line 1, [transport.x]: the key kind is missing"),
        ("a = 1\n[queue.bulk]\nlease = '5'", "line 1: unknown setting"),
        (
            "[queue.bulk]\nlease = '5'",
            "line 2, [queue.bulk] lease: \"5\" is not a duration; it needs a number and a unit (ms, s, m, h, d, w), \
             as in 30s or 1h30m",
        ),
        (
            "[[schedule]]\nname = 'n'\nto = 'x'",
            "line 3, [[schedule]] to: the text \"x\" is not valid; it may be a list in brackets",
        ),
        ("[[schedule]]\nname = 'n'\nto = []\ntemplate = 't'\nevery = '1m'\n", "line 3, [[schedule]] n: to: "),
        ("smtp_host = mail", "line 1: the line is not TOML: string values must be quoted"),
        ("[queue.x", "line 1: the line is not TOML: unclosed table; it may be `]`"),
        ("[queue.a]\n[queue.bulk]\n[queue.a]", "line 3: the line is not TOML: duplicate key"),
        (
            "max_message_size = 25",
            "line 1, max_message_size: \"25\" is not valid; it may be 1000 bytes or more; a size in megabytes has the \
             unit MB, such as 25MB",
        ),
    ] {
        let fixture = Fixture::new();
        fixture.file("postroom.toml", toml);
        let ran = fixture.run(&["queues"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        let expected = format!("error: postroom.toml, {message}");
        let is_start = message.ends_with([' ', 'g']);
        assert!(
            ran.stderr.trim_end() == expected || is_start && ran.stderr.starts_with(&expected),
            "{expected}\n{ran:?}"
        );
    }
    let fixture = Fixture::new().with("QUEUES", "emials");
    fixture.file("postroom.toml", "[queue.reports]\n");
    check(
        &fixture,
        &["queues"],
        2,
        "error: QUEUES: there is no queue emials (did you mean emails?); it may be bulk, default, emails, reports, or \
         add a table [queue.emials]",
    );
    let fixture = Fixture::new().with("QUEUES", "reports,emails,other");
    assert_eq!(fixture.run(&["queues"]).code, 0, "without tables, serving a queue creates it");
}

#[test]
fn a_parameter_of_the_redis_url_is_understood_or_refused() {
    for (url, message) in [
        ("redis://h/?foo=1", "the parameter \"foo\" of the URL has no effect; it may be protocol"),
        (
            "redis://h/?db=3",
            "the parameter \"db\" of the URL has no effect; the database follows the host, as in redis://host:6379/3",
        ),
        ("redis://h/?ssl=true", "the parameter \"ssl\" of the URL has no effect; the scheme rediss:// uses TLS"),
        (
            "redis+sentinel://h/m?password=x",
            "the parameter \"password\" of the URL has no effect; user and password stand before the host, as in \
             redis://user:password@host",
        ),
        ("redis+unix:///s?foo=1", "the parameter \"foo\" of the URL has no effect; it may be user, pass, db, protocol"),
    ] {
        check(&Fixture::at(url), &["queues"], 2, &format!("error: REDIS_URL: {message}"));
    }
}

/// Everything on standard error is JSON too.
#[test]
fn with_the_json_flag_every_line_is_json() {
    let fixture = Fixture::new().with_templates();
    let rows = "[{\"to\": \"a@example.org\", \"subject\": \"s\", \"text\": \"t\"},\n {\"to\": \"A@\"},\n \
                {\"to\": {\"email\": \"a@example.org\"}, \"subject\": \"s\", \"text\": \"t\"}]";
    let ran = fixture.run_with(&["bulk", "--jsonl", "-", "--json"], rows.as_bytes());
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines: Vec<Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    // The warning that no worker serves the queue may be missing: it waits for Redis only shortly.
    let mut notes = lines.iter().filter_map(|line| line["note"].as_str());
    assert!(notes.next().is_some_and(|note| note.starts_with("line 2: to: \"A@\"")), "{ran:?}");
    let counts = json!({"queued": 1, "queued_before": 0, "invalid": 1, "duplicates": 1});
    assert_eq!(lines.last(), Some(&counts), "{ran:?}");
}

/// If several mails share a line, the error names the mail's number.
#[test]
fn a_mail_of_a_list_is_named_by_its_number() {
    let fixture = Fixture::new();
    let rows = "[{\"to\":\"a@example.org\",\"subject\":\"s\",\"text\":\"t\"},{\"to\":\"b@\"},\
                {\"to\":\"c@example.org\"},\n{\"to\":\"d@\"}]";
    let ran = fixture.run_with(&["bulk", "--jsonl", "-"], rows.as_bytes());
    let notes: Vec<&str> = ran.stderr.lines().filter(|line| !line.starts_with("warning: no worker")).collect();
    assert!(notes[0].starts_with("line 1: record 2: to: \"b@\" is not an e-mail address"), "{ran:?}");
    assert_eq!(notes[1], "line 1: record 3: text: the mail has no content; it needs a template, a text or HTML");
    assert!(notes[2].starts_with("line 2: to: \"d@\" is not an e-mail address"), "{ran:?}");
}

/// A fault between the mails of a list is found before any mail is enqueued.
#[test]
fn a_malformed_list_enqueues_nothing() {
    let fixture = Fixture::new();
    let mail = "{\"to\": \"a@example.org\", \"subject\": \"s\", \"text\": \"t\"}";
    fixture.file("mails.json", format!("[\n{mail},\n{mail},\n]\n"));
    let message = "error: --jsonl: line 4: a comma stands before the closing ] of the list";
    check(&fixture, &["bulk", "--jsonl", "mails.json", "--allow-duplicates"], 2, message);
    assert_eq!(fixture.ok(&["list", "--batches", "--json"]), "");
    fixture.file("mails.json", format!("[\n{mail},\n{mail}\n]\n"));
    let id = fixture.ok(&["bulk", "--jsonl", "mails.json", "--allow-duplicates"]);
    assert_eq!(fixture.status(&id)["total"], 2);
}

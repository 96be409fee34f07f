//! `postroom bulk`: accepted rows, rejected rows, and commands that enqueue nothing.

use serde_json::json;

use crate::fixture::Fixture;

const NEWS: [&str; 7] = ["bulk", "--template", "newsletter", "--var", "title=T", "--var", "intro=I"];

fn news<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&NEWS[..], more].concat()
}

/// Checks that there is neither a job nor a batch.
fn assert_empty(fixture: &Fixture) {
    assert_eq!(fixture.ok(&["list", "--json"]), "");
    assert_eq!(fixture.ok(&["list", "--batches", "--json"]), "");
}

#[test]
fn bad_rows_are_reported_with_their_line_and_the_others_are_queued() {
    let fixture = Fixture::new().with_templates();
    fixture.file(
        "people.csv",
        "Email,name,extra\nann@example.org,Żółć,x\nnobody,Ben,x\nben@example.org,Ben,x,y\n\
         \"c@example.org\",\"Q \"\"q\"\",\",x\n",
    );
    let ran = fixture.run(&news(&["--csv", "people.csv"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.mentions(&[
        "line 3: ",
        "nobody",
        "line 4: ",
        "4 fields",
        "warning: no worker serves the queue bulk",
        "2 mails queued",
    ]);
    let batch = fixture.status(ran.out());
    for (key, value) in [
        ("total", json!(2)),
        ("invalid", json!(2)),
        ("queued", json!(2)),
        ("sealed", json!(true)),
        ("done", json!(false)),
        ("name", json!("newsletter")),
        ("queue", json!("bulk")),
        ("paused", json!(false)),
        ("sent", json!(0)),
    ] {
        assert_eq!(batch[key], value, "{key} in {batch}");
    }
    let jobs = fixture.ok(&["list", "--batch", ran.out(), "--json"]);
    assert_eq!(jobs.lines().count(), 2, "{jobs}");
}

#[test]
fn the_example_recipients_are_valid() {
    let fixture = Fixture::new().with_templates();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/recipients.csv");
    let ran = fixture.run(&news(&["--csv", file, "--strict"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    let batch = fixture.status(ran.out());
    assert_eq!((&batch["invalid"], &batch["duplicates"]), (&json!(0), &json!(0)), "{batch}");
    assert_eq!(batch["total"], 25);
}

#[test]
fn strict_queues_all_or_nothing() {
    let fixture = Fixture::new().with_templates();
    fixture.file("people.csv", "email,name\na@example.org,A\nb,B\nc,C\n");
    fixture.run(&news(&["--csv", "people.csv", "--strict"])).refused(2, &["line 3", "line 4", "2 can't be sent"]);
    assert_empty(&fixture);
    let ran = fixture.run_with(&news(&["--csv", "-", "--strict"]), b"email,name\na@example.org,A\nb,B\n");
    ran.refused(2, &["line 3"]);
    let ran = fixture.run_with(&news(&["--csv", "-", "--strict"]), b"email,name\na@example.org,A\n");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(fixture.status(ran.out())["total"], 1);
}

#[test]
fn duplicate_addresses_are_skipped() {
    let fixture = Fixture::new().with_templates();
    let csv = b"to,name\na@example.org,A\na@EXAMPLE.org,B\nb@example.org,C\n";
    let ran = fixture.run_with(&news(&["--csv", "-"]), csv);
    ran.mentions(&["1 skipped"]);
    let batch = fixture.status(ran.out());
    assert_eq!((&batch["total"], &batch["duplicates"]), (&json!(2), &json!(1)));
    let ran = fixture.run_with(&news(&["--csv", "-", "--allow-duplicates"]), csv);
    assert_eq!(fixture.status(ran.out())["total"], 3);
}

#[test]
fn json_lines_and_addresses() {
    let fixture = Fixture::new().with_templates();
    let rows = concat!(
        "{\"to\": \"Ann <a@example.org>\", \"name\": \"Ann\"}\n\n",
        "{\"email\": \"b@example.org\", \"vars\": {\"name\": 1}}\nnot json\n{\"name\": \"x\"}\n",
    );
    let ran = fixture.run_with(&news(&["--jsonl", "-", "--json"]), rows.as_bytes());
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.mentions(&["line 4: ", "line 5: to: the row has no address"]);
    let id: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let batch = fixture.status(id["id"].as_str().expect("an id"));
    assert_eq!((&batch["total"], &batch["invalid"]), (&json!(2), &json!(2)));

    let whole = concat!(
        "{\"to\": \"a@example.org\", \"subject\": \"s\", \"text\": \"t\"}\n",
        "{\"to\": \"b@example.org\", \"text\": \"t\"}\n{\"too\": 1}\n",
    );
    let ran = fixture.run_with(&["bulk", "--jsonl", "-", "--name", "whole"], whole.as_bytes());
    ran.mentions(&["line 2: subject", "line 3: too: there is no such field (did you mean to?)"]);
    assert_eq!(fixture.status(ran.out())["name"], "whole");

    let id = fixture.ok(&news(&["--var", "name=all", "--to", "a@example.org", "b@example.org"]));
    assert_eq!(fixture.status(&id)["total"], 2);
}

#[test]
fn an_invalid_bulk_creates_nothing() {
    let fixture = Fixture::new().with_templates();
    fixture.file("empty.csv", "");
    fixture.file("header.csv", "email,name\n");
    fixture.file("no_address.csv", "nick,name\na@example.org,A\n");
    fixture.file("two.csv", "email,to\na@example.org,A\n");
    fixture.file("twice.csv", "email,name,name\na@example.org,A,B\n");
    fixture.file("all_bad.csv", "email,name\na,A\n");
    fixture.file("no_name.csv", "email,nick\na@example.org,A\n");
    fixture.file("latin1.csv", b"email,name\na@example.org,A\nb@example.org,J\xfcrgen\n");
    fixture.file("wide.csv", format!("email{}\n", ",x".repeat(1_001)));
    fixture.file("utf16.csv", b"\xff\xfee\0m\0a\0i\0l\0");
    for (more, words) in [
        (&["--csv", "empty.csv"][..], &["empty.csv", "empty"][..]),
        (&["--csv", "header.csv"], &["header.csv", "no row"]),
        (&["--csv", "missing.csv"], &["missing.csv", "can't be read"]),
        (&["--csv", "no_address.csv"], &["no address column", "nick, name", "--address-column"]),
        (&["--csv", "two.csv"], &["more than one address column"]),
        (&["--csv", "twice.csv"], &["two columns named name"]),
        (&["--csv", "all_bad.csv"], &["line 2", "no row that can be sent"]),
        (&["--csv", "no_name.csv"], &["line 2", "name"]),
        (&["--csv", "latin1.csv"], &["latin1.csv", "UTF-8", "line 3"]),
        (&["--csv", "utf16.csv"], &["utf16.csv", "no row"]),
        (&["--csv", "no_name.csv", "--queue", "typo", "--var", "name=x"], &["typo"]),
        (&["--csv", "/dev/zero"], &["/dev/zero", "device", "standard input"]),
        (&["--jsonl", "/dev/zero"], &["/dev/zero", "device"]),
        (&["--csv", "wide.csv"], &["wide.csv", "1002 fields; a row may have 1000"]),
        (&["--csv", "no_name.csv", "--var", "name=x", "--name", &"n".repeat(256)], &["name", "256 octets"]),
        (&["--csv", "no_name.csv", "--var", "name=x", "--name", "a\nb"], &["name", "line break"]),
        (&["--csv", "-", "--vars", "-"], &["standard input"]),
        (&["--csv", "a.csv", "--jsonl", "b"], &["cannot be used with"]),
        (&[], &["required"]),
    ] {
        fixture.run(&news(more)).refused(2, words);
    }
    fixture.run(&["bulk", "--csv", "header.csv"]).refused(2, &["--template"]);
    fixture.run(&["bulk", "--template", "newsleter", "--csv", "no_name.csv"]).refused(2, &["newsleter"]);
    assert_empty(&fixture);
}

#[test]
fn a_missing_variable_in_the_first_rows_stops_the_bulk() {
    let fixture = Fixture::new().with_templates();
    let rows = b"{\"to\": \"a@example.org\", \"name\": \"A\"}\n{\"to\": \"b@example.org\"}\n";
    fixture.run_with(&news(&["--jsonl", "-"]), rows).refused(2, &["line 2", "newsletter/body", "name"]);
    assert_empty(&fixture);
}

#[test]
fn a_missing_variable_in_a_later_row_makes_one_bad_row() {
    let fixture = Fixture::new().with_templates();
    let mut rows: String = (0..11).map(|n| format!("{{\"to\": \"a{n}@example.org\", \"name\": \"A\"}}\n")).collect();
    rows.push_str("{\"to\": \"b@example.org\"}\n");
    let ran = fixture.run_with(&news(&["--jsonl", "-"]), rows.as_bytes());
    ran.mentions(&["line 12: ", "name"]);
    let batch = fixture.status(ran.out());
    assert_eq!((&batch["total"], &batch["invalid"]), (&json!(11), &json!(1)));
}

#[test]
fn a_key_continues_and_never_adds_twice() {
    let fixture = Fixture::new().with_templates();
    let csv: String = (0..450).map(|n| format!("a{n}@example.org,A{n}\n")).collect();
    fixture.file("people.csv", format!("email,name\n{csv}"));
    let args = news(&["--csv", "people.csv", "--key", "june"]);
    let id = fixture.ok(&args);
    let ran = fixture.run(&args);
    assert_eq!((ran.code, ran.out()), (0, id.as_str()));
    ran.mentions(&["450 mails queued, 450 of them before"]);
    let batch = fixture.status(&id);
    assert_eq!((&batch["total"], &batch["queued"]), (&json!(450), &json!(450)));
    fixture.file("people.csv", format!("email,name\n{csv}more@example.org,More\n"));
    fixture.run(&args).refused(7, &["june", &id]);
    let single = ["send", "--to", "a@example.org", "--subject", "s", "--text", "t", "--key", "june"];
    fixture.run(&single).refused(7, &["june"]);
}

#[test]
fn a_batch_is_cancelled_at_once() {
    let fixture = Fixture::new().with_templates();
    let id = fixture.ok(&news(&["--var", "name=x", "--to", "a@example.org", "b@example.org", "--in", "1h"]));
    assert_eq!(fixture.status(&id)["scheduled"], 2);
    assert!(fixture.ok(&["cancel", &id]).contains("2 mails cancelled"));
    let ran = fixture.run(&["status", &id, "--wait", "10s", "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    fixture.ok(&["cancel", &id]);
    fixture.ok(&["retry", &id]);
}

#[test]
fn a_paced_bulk_reports_its_duration() {
    let fixture = Fixture::new().with_templates();
    let rows: String = (0..451).map(|n| format!("a{n}@example.org,A{n}\n")).collect();
    fixture.file("people.csv", format!("email,name\n{rows}"));
    fixture.run(&news(&["--csv", "people.csv", "--rate", "100/m"])).mentions(&["at 100/m they take about 4m30s"]);
    let ran = fixture.run(&news(&["--csv", "people.csv", "--delay", "5s"]));
    ran.mentions(&["at one every 5s they take about 37m30s"]);
    let batch = fixture.status(ran.out());
    assert_eq!((&batch["pace_us"], &batch["eta_s"]), (&json!(5_000_000), &json!(2_255)), "{batch}");
    for (more, words) in [
        (&["--rate", "fast"][..], &["fast", "as in 2/s"][..]),
        (&["--delay", "5"], &["5", "unit"]),
        (&["--delay", "5s", "--rate", "1/s"], &["cannot be used with"]),
    ] {
        fixture.run(&news(&[&["--csv", "people.csv"], more].concat())).refused(2, words);
    }
}

#[test]
fn a_notice_goes_to_an_address_or_a_url() {
    let fixture = Fixture::new().with_templates();
    let to = ["--var", "name=A", "--to", "a@example.org"];
    fixture
        .run(&news(&[&to[..], &["--notify", "nobody"]].concat()))
        .refused(2, &["nobody", "is not an e-mail address"]);
    for (url, words) in [
        ("app.example.org/hook", &["or a URL such as https://"][..]),
        ("ftp://app.example.org/hook", &["\"ftp\"", "https"]),
        ("https://ann:pass@app.example.org", &["a user", "https://app.example.org/path"]),
        ("https://app.example.org:0", &["1 to 65535"]),
        ("https://app.example.org/#a", &["fragment"]),
    ] {
        fixture.run(&news(&[&to[..], &["--notify", url]].concat())).refused(2, words);
    }
    assert_empty(&fixture);
    for receiver in ["Boss <boss@example.org>", "https://app.example.org/hook?a=b", "http://app:3000"] {
        let id = fixture.ok(&news(&[&to[..], &["--notify", receiver]].concat()));
        assert_eq!(fixture.status(&id)["total"], 1);
    }
}

/// Shared content is stored as long as the batch's result, so sensitive variables are stored with
/// each mail instead.
#[test]
fn sensitive_variables_of_a_bulk_are_stored_with_each_mail() {
    let fixture = Fixture::new();
    fixture.file("postroom.toml", "[template.reset]\nsensitive = true\n");
    fixture.file("templates/reset/subject.txt", "Reset");
    fixture.file("templates/reset/body.txt", "{{ token }} {{ name }} {{ site }}");
    fixture.file("people.csv", "to,name\nann@example.org,Ann\nben@example.org,Ben\n");
    let token = "token=s3cret-t0ken";
    let batch =
        fixture.ok(&["bulk", "--template", "reset", "--var", token, "--var", "site=Here", "--csv", "people.csv"]);
    assert!(!fixture.stored("c:", &batch).contains("s3cret"), "{}", fixture.stored("c:", &batch));
    let jobs = fixture.ok(&["list", "--batch", &batch, "--json"]);
    assert_eq!(jobs.lines().count(), 2);
    for line in jobs.lines() {
        let job: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let id = job["id"].as_str().expect("an id");
        assert!(fixture.stored("", id).contains("s3cret"), "the worker needs it");
        fixture.ok(&["cancel", id]);
        assert!(!fixture.stored("", id).contains("s3cret"), "{}", fixture.stored("", id));
    }
}

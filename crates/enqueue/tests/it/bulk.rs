//! `postroom bulk`: what is queued, what is refused, and that nothing is half done.

use serde_json::json;

use crate::Desk;

const NEWS: [&str; 7] = ["bulk", "--template", "newsletter", "--var", "title=T", "--var", "intro=I"];

fn news<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&NEWS[..], more].concat()
}

/// Nothing was created: no job, no batch.
fn assert_empty(desk: &Desk) {
    assert_eq!(desk.ok(&["list", "--json"]), "");
    assert_eq!(desk.ok(&["list", "--batches", "--json"]), "");
}

#[test]
fn bad_rows_are_told_with_their_line_and_the_rest_goes_on() {
    let desk = Desk::new().with_templates();
    desk.file(
        "people.csv",
        "Email,name,extra\nann@example.org,Żółć,x\nnobody,Ben,x\nben@example.org,Ben\n\"c@example.org\",\"Q \"\"q\"\",\",x\n",
    );
    let ran = desk.run(&news(&["--csv", "people.csv"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.says(&[
        "line 3: ",
        "nobody",
        "line 4: ",
        "2 fields",
        "warning: no worker serves the queue bulk",
        "2 mails queued",
    ]);
    let batch = desk.status(ran.out());
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
    let jobs = desk.ok(&["list", "--batch", ran.out(), "--json"]);
    assert_eq!(jobs.lines().count(), 2, "{jobs}");
}

#[test]
fn the_shipped_recipients_can_be_sent_to() {
    let desk = Desk::new().with_templates();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/recipients.csv");
    let ran = desk.run(&news(&["--csv", file, "--strict"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    let batch = desk.status(ran.out());
    assert_eq!((&batch["invalid"], &batch["duplicates"]), (&json!(0), &json!(0)), "{batch}");
    assert_eq!(batch["total"], 25);
}

#[test]
fn strict_queues_all_or_nothing() {
    let desk = Desk::new().with_templates();
    desk.file("people.csv", "email,name\na@example.org,A\nb,B\nc,C\n");
    desk.run(&news(&["--csv", "people.csv", "--strict"])).refused(2, &["line 3", "line 4", "2 can't be sent"]);
    assert_empty(&desk);
    let ran = desk.run_with(&news(&["--csv", "-", "--strict"]), b"email,name\na@example.org,A\nb,B\n");
    ran.refused(2, &["line 3"]);
    let ran = desk.run_with(&news(&["--csv", "-", "--strict"]), b"email,name\na@example.org,A\n");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(desk.status(ran.out())["total"], 1);
}

#[test]
fn an_address_gets_one_mail() {
    let desk = Desk::new().with_templates();
    let csv = b"to,name\na@example.org,A\na@EXAMPLE.org,B\nb@example.org,C\n";
    let ran = desk.run_with(&news(&["--csv", "-"]), csv);
    ran.says(&["1 skipped"]);
    let batch = desk.status(ran.out());
    assert_eq!((&batch["total"], &batch["duplicates"]), (&json!(2), &json!(1)));
    let ran = desk.run_with(&news(&["--csv", "-", "--allow-duplicates"]), csv);
    assert_eq!(desk.status(ran.out())["total"], 3);
}

#[test]
fn json_lines_and_addresses() {
    let desk = Desk::new().with_templates();
    let rows = "{\"to\": \"Ann <a@example.org>\", \"name\": \"Ann\"}\n\n{\"email\": \"b@example.org\", \"vars\": {\"name\": 1}}\nnot json\n{\"name\": \"x\"}\n";
    let ran = desk.run_with(&news(&["--jsonl", "-", "--json"]), rows.as_bytes());
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.says(&["line 4: ", "line 5: it has no address"]);
    let id: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let batch = desk.status(id["id"].as_str().expect("an id"));
    assert_eq!((&batch["total"], &batch["invalid"]), (&json!(2), &json!(2)));

    let whole = "{\"to\": \"a@example.org\", \"subject\": \"s\", \"text\": \"t\"}\n{\"to\": \"b@example.org\", \"text\": \"t\"}\n{\"too\": 1}\n";
    let ran = desk.run_with(&["bulk", "--jsonl", "-", "--name", "whole"], whole.as_bytes());
    ran.says(&["line 2: subject", "line 3: unknown field `too`"]);
    assert_eq!(desk.status(ran.out())["name"], "whole");

    let id = desk.ok(&news(&["--var", "name=all", "--to", "a@example.org", "b@example.org"]));
    assert_eq!(desk.status(&id)["total"], 2);
}

#[test]
fn what_can_not_be_a_bulk_creates_nothing() {
    let desk = Desk::new().with_templates();
    desk.file("empty.csv", "");
    desk.file("header.csv", "email,name\n");
    desk.file("no_address.csv", "mail,name\na@example.org,A\n");
    desk.file("two.csv", "email,to\na@example.org,A\n");
    desk.file("twice.csv", "email,name,name\na@example.org,A,B\n");
    desk.file("all_bad.csv", "email,name\na,A\n");
    desk.file("no_name.csv", "email,nick\na@example.org,A\n");
    desk.file("latin1.csv", b"email,name\na@example.org,A\nb@example.org,J\xfcrgen\n");
    desk.file("wide.csv", format!("email{}\n", ",x".repeat(1_001)));
    desk.file("utf16.csv", b"\xff\xfee\0m\0a\0i\0l\0");
    for (more, words) in [
        (&["--csv", "empty.csv"][..], &["empty.csv", "empty"][..]),
        (&["--csv", "header.csv"], &["header.csv", "no row"]),
        (&["--csv", "missing.csv"], &["missing.csv", "can't be read"]),
        (&["--csv", "no_address.csv"], &["no address column", "mail, name"]),
        (&["--csv", "two.csv"], &["more than one address column"]),
        (&["--csv", "twice.csv"], &["two columns named name"]),
        (&["--csv", "all_bad.csv"], &["line 2", "no row that can be sent"]),
        (&["--csv", "no_name.csv"], &["line 2", "name"]),
        (&["--csv", "latin1.csv"], &["latin1.csv", "UTF-8", "line 3"]),
        (&["--csv", "utf16.csv"], &["utf16.csv", "UTF-8"]),
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
        desk.run(&news(more)).refused(2, words);
    }
    desk.run(&["bulk", "--csv", "header.csv"]).refused(2, &["--template"]);
    desk.run(&["bulk", "--template", "newsleter", "--csv", "no_name.csv"]).refused(2, &["newsleter"]);
    assert_empty(&desk);
}

#[test]
fn one_of_the_first_rows_that_lacks_a_variable_stops_it_all() {
    let desk = Desk::new().with_templates();
    let rows = b"{\"to\": \"a@example.org\", \"name\": \"A\"}\n{\"to\": \"b@example.org\"}\n";
    desk.run_with(&news(&["--jsonl", "-"]), rows).refused(2, &["line 2", "newsletter/body", "name"]);
    assert_empty(&desk);
}

#[test]
fn a_row_that_lacks_a_variable_later_is_a_bad_row() {
    let desk = Desk::new().with_templates();
    let mut rows: String = (0..11).map(|n| format!("{{\"to\": \"a{n}@example.org\", \"name\": \"A\"}}\n")).collect();
    rows.push_str("{\"to\": \"b@example.org\"}\n");
    let ran = desk.run_with(&news(&["--jsonl", "-"]), rows.as_bytes());
    ran.says(&["line 12: ", "name"]);
    let batch = desk.status(ran.out());
    assert_eq!((&batch["total"], &batch["invalid"]), (&json!(11), &json!(1)));
}

#[test]
fn a_key_continues_and_never_adds_twice() {
    let desk = Desk::new().with_templates();
    let csv: String = (0..450).map(|n| format!("a{n}@example.org,A{n}\n")).collect();
    desk.file("people.csv", format!("email,name\n{csv}"));
    let args = news(&["--csv", "people.csv", "--key", "june"]);
    let id = desk.ok(&args);
    let ran = desk.run(&args);
    assert_eq!((ran.code, ran.out()), (0, id.as_str()));
    ran.says(&["450 mails queued, 450 of them before"]);
    let batch = desk.status(&id);
    assert_eq!((&batch["total"], &batch["queued"]), (&json!(450), &json!(450)));
    desk.file("people.csv", format!("email,name\n{csv}more@example.org,More\n"));
    desk.run(&args).refused(7, &["june", &id]);
    let single = ["send", "--to", "a@example.org", "--subject", "s", "--text", "t", "--key", "june"];
    desk.run(&single).refused(7, &["june"]);
}

#[test]
fn a_batch_is_cancelled_at_once() {
    let desk = Desk::new().with_templates();
    let id = desk.ok(&news(&["--var", "name=x", "--to", "a@example.org", "b@example.org", "--in", "1h"]));
    assert_eq!(desk.status(&id)["scheduled"], 2);
    assert!(desk.ok(&["cancel", &id]).contains("2 mails cancelled"));
    let ran = desk.run(&["status", &id, "--wait", "10s", "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    desk.ok(&["cancel", &id]);
    desk.ok(&["retry", &id]);
}

#[test]
fn a_paced_bulk_says_how_long_it_takes() {
    let desk = Desk::new().with_templates();
    let rows: String = (0..451).map(|n| format!("a{n}@example.org,A{n}\n")).collect();
    desk.file("people.csv", format!("email,name\n{rows}"));
    desk.run(&news(&["--csv", "people.csv", "--rate", "100/m"])).says(&["at 100/m they take about 4m30s"]);
    let ran = desk.run(&news(&["--csv", "people.csv", "--delay", "5s"]));
    ran.says(&["at one every 5s they take about 37m30s"]);
    let batch = desk.status(ran.out());
    assert_eq!((&batch["pace_us"], &batch["eta_s"]), (&json!(5_000_000), &json!(2_255)), "{batch}");
    for (more, words) in [
        (&["--rate", "fast"][..], &["fast", "as in 2/s"][..]),
        (&["--delay", "5"], &["5", "unit"]),
        (&["--delay", "5s", "--rate", "1/s"], &["cannot be used with"]),
    ] {
        desk.run(&news(&[&["--csv", "people.csv"], more].concat())).refused(2, words);
    }
}

#[test]
fn who_is_told_of_the_end_has_an_address_or_a_url() {
    let desk = Desk::new().with_templates();
    let to = ["--var", "name=A", "--to", "a@example.org"];
    desk.run(&news(&[&to[..], &["--notify", "nobody"]].concat())).refused(2, &["nobody", "is not an e-mail address"]);
    for (url, words) in [
        ("app.example.org/hook", &["or a URL such as https://"][..]),
        ("ftp://app.example.org/hook", &["\"ftp\"", "https"]),
        ("https://ann:pass@app.example.org", &["a user", "https://app.example.org/path"]),
        ("https://app.example.org:0", &["1 to 65535"]),
        ("https://app.example.org/#a", &["fragment"]),
    ] {
        desk.run(&news(&[&to[..], &["--notify", url]].concat())).refused(2, words);
    }
    assert_empty(&desk);
    for who in ["Boss <boss@example.org>", "https://app.example.org/hook?a=b", "http://app:3000"] {
        let id = desk.ok(&news(&[&to[..], &["--notify", who]].concat()));
        assert_eq!(desk.status(&id)["total"], 1);
    }
}

/// What all rows share is kept as long as the batch's result; sensitive variables end with their mails.
#[test]
fn sensitive_variables_of_a_bulk_go_with_each_mail() {
    let desk = Desk::new();
    desk.file("postroom.toml", "[template.reset]\nsensitive = true\n");
    desk.file("templates/reset/subject.txt", "Reset");
    desk.file("templates/reset/body.txt", "{{ token }} {{ name }} {{ site }}");
    desk.file("people.csv", "to,name\nann@example.org,Ann\nben@example.org,Ben\n");
    let token = "token=s3cret-t0ken";
    let batch = desk.ok(&["bulk", "--template", "reset", "--var", token, "--var", "site=Here", "--csv", "people.csv"]);
    assert!(!desk.stored("c:", &batch).contains("s3cret"), "{}", desk.stored("c:", &batch));
    let jobs = desk.ok(&["list", "--batch", &batch, "--json"]);
    assert_eq!(jobs.lines().count(), 2);
    for line in jobs.lines() {
        let job: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let id = job["id"].as_str().expect("an id");
        assert!(desk.stored("", id).contains("s3cret"), "the worker needs it");
        desk.ok(&["cancel", id]);
        assert!(!desk.stored("", id).contains("s3cret"), "{}", desk.stored("", id));
    }
}

//! Invalid input: one clear line, exit code 2, nothing is enqueued.

use postroom_testkit::PrivateRedis;

use crate::fixture::Fixture;

const MAIL: [&str; 5] = ["send", "--to", "a@example.org", "--subject", "s"];

#[test]
fn invalid_input_is_named() {
    let fixture = Fixture::new().with_templates().with("MAX_MESSAGE_SIZE", "10kB");
    fixture.file("big.bin", vec![0; 9_000]);
    fixture.file("huge.bin", vec![0; 20_000]);
    fixture.file("latin1.txt", b"Gr\xfc\xdfe");
    fixture.file("list.json", "[1]");
    let text = ["--text", "t"];
    for (more, words) in [
        (&["--to", "nobody"][..], &["nobody", "no @"][..]),
        (&["--to", "a@b\r\nBcc: c@d"], &["a@b", "U+000D"]),
        (&[], &["no content"]),
        (&["--text", "t", "--header", "X-A: b\r\nBcc: c@example.org"], &["X-A", "line break"]),
        (&["--text", "t", "--header", "Subject: b"], &["Subject"]),
        (&["--text", "t", "--header", "nocolon"], &["no colon"]),
        (&["--text", "t", "--header", "X-A: 1", "--header", "X-A: 2"], &["X-A", "twice"]),
        (&["--text", "t", "--priority", "10"], &["0 (first) to 9"]),
        (&["--text", "t", "--queue", "A b"], &["A b", "a-z"]),
        (&["--text", "t", "--queue", "typo"], &["typo", "emails"]),
        (&["--text", "t", "--in", "10"], &["unit"]),
        (&["--text", "t", "--at", "tomorrow"], &["2027-01-31T08:00:00Z"]),
        (&["--text", "t", "--in", "1h", "--expires-in", "10m"], &["expire", "before it is due"]),
        (&["--text", "@missing.txt"], &["missing.txt", "can't be read"]),
        (&["--text", "@latin1.txt"], &["latin1.txt", "UTF-8"]),
        (&["--text", "t", "--attach", "missing.pdf"], &["missing.pdf"]),
        (&["--text", "@/dev/zero"], &["/dev/zero", "more than 10000 bytes"]),
        (&["--html-file", "/dev/zero"], &["/dev/zero", "more than 10000 bytes"]),
        (&["--text-file", "missing.txt"], &["missing.txt", "can't be read"]),
        (&["--text-file", "latin1.txt"], &["latin1.txt", "UTF-8"]),
        (&["--text-file", "-", "--html", "@-"], &["standard input", "--text", "--html"]),
        (&["--text", "t", "--text-file", "latin1.txt"], &["cannot be used with"]),
        (&["--text", "t", "--attach", "/dev/zero"], &["/dev/zero", "more than 10000", "MAX_MESSAGE_SIZE"]),
        (&["--template", "newsletter", "--vars", "/dev/zero"], &["/dev/zero", "more than 16777216 bytes"]),
        (&["--text", "t", "--key", &"k".repeat(256)], &["key", "256 octets; it may have 255"]),
        (&["--text", "t", "--header", &format!("{}: v", "X".repeat(77))], &["77 octets; it may have 76"]),
        (&["--text", "t", "--attach", "huge.bin"], &["huge.bin", "20000", "MAX_MESSAGE_SIZE"]),
        (&["--text", "t", "--attach", "big.bin"], &["the message would have", "MAX_MESSAGE_SIZE allows 10000"]),
        (&["--text", "t", "--template", "newsletter"], &["cannot be used with"]),
        (&["--text", "t", "--var", "a=b"], &["--template"]),
        (&["--template", "newsletter", "--vars", "list.json"], &["list.json"]),
        (&["--template", "newsletter", "--var", "a"], &["NAME=VALUE"]),
        (&["--template", "newsletter", "--var-json", "a={"], &["not JSON"]),
        (&["--template", "newsleter"], &["newsleter", "newsletter, password_reset"]),
        (&["--template", "newsletter", "--var", "title=T", "--var", "intro=I"], &["newsletter/body", "name", "line"]),
    ] {
        let ran = fixture.run(&[&MAIL[..], more].concat());
        ran.refused(2, words);
        assert!(ran.stderr.starts_with("error: "), "{ran:?}");
    }
    fixture.run(&["send", "--to", "a@example.org", "--subject", "a\nb", "--text", "t"]).refused(2, &["line break"]);
    fixture.run(&[&["send", "--to", "a@example.org"], &text[..]].concat()).refused(2, &["subject"]);
    assert_eq!(fixture.ok(&["list", "--json"]), "");
}

/// A device never ends, so at most the maximum size of a setting is read.
#[test]
fn settings_are_not_read_from_a_device() {
    for (name, words) in [
        ("SMTP_PASSWORD_FILE", &["/dev/zero", "more than 4194304 bytes"][..]),
        ("POSTROOM_CONFIG", &["/dev/zero", "more than 4194304 bytes"]),
    ] {
        let fixture =
            Fixture::new().with("SMTP_HOST", "mail.example.org").with("SMTP_USERNAME", "u").with(name, "/dev/zero");
        fixture.run(&["queues"]).refused(2, words);
    }
    let fixture = Fixture::new().with("SMTP_HOST", "127.0.0.1").with("SMTP_CA_FILE", "/dev/zero");
    let sync = ["--from", "f@example.org", "--text", "t", "--sync"];
    fixture.run(&[&MAIL[..], &sync].concat()).refused(2, &["/dev/zero", "more than 4194304 bytes"]);
    let fixture = Fixture::new();
    fixture.file("templates/news/subject.txt", "News");
    std::os::unix::fs::symlink("/dev/zero", fixture.folder().join("templates/news/body.txt")).expect("a link");
    let ran = fixture.run(&["send", "--to", "a@example.org", "--template", "news"]);
    ran.refused(2, &["body.txt", "not a regular file"]);
}

#[test]
fn too_many_recipients_are_refused_at_once() {
    let fixture = Fixture::new();
    let to: Vec<String> = (0..100_000).map(|n| format!("\"user{n}@example.org\"")).collect();
    let row = format!("{{\"to\": [{}], \"subject\": \"s\", \"text\": \"t\"}}\n", to.join(","));
    let valid = "{\"to\": \"a@example.org\", \"subject\": \"s\", \"text\": \"t\"}\n";
    let ran = fixture.run_with(&["bulk", "--jsonl", "-"], format!("{valid}{row}").as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.stderr.chars().take(500).collect::<String>());
    ran.mentions(&["line 2: to: the mail has 100000 recipients in to, cc and bcc; it may have 1000"]);
}

#[test]
fn errors_are_json_with_the_json_flag() {
    let fixture = Fixture::new();
    let ran = fixture.run(&[&MAIL[..], &["--text", "t", "--queue", "typo", "--json"]].concat());
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).expect("JSON");
    assert_eq!(error["error"]["code"], "invalid");
    assert_eq!(error["error"]["field"], "queue");
    assert!(error["error"]["message"].as_str().is_some_and(|text| text.contains("typo")), "{error}");
    let ran = fixture.run(&["status", "emails-01ARZ3NDEKTSV4RRFFQ69G5FAV", "--json"]);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).expect("JSON");
    assert_eq!((ran.code, &error["error"]["code"]), (4, &"not_found".into()));
}

#[test]
fn invalid_settings_stop_every_command() {
    for (toml, words) in [
        ("quues = 1\n", &["postroom.toml", "line 1", "quues", "queues"][..]),
        ("[queue.x\n", &["postroom.toml", "line 1"]),
        (
            "[[schedule]]\nname = \"n\"\ncron = \"0 0 30 2 *\"\nto = [\"a@b\"]\nsubject = \"s\"\ntext = \"t\"\n",
            &["never fires"],
        ),
        ("timezone = \"Mars/Olympus\"\n", &["Mars/Olympus", "Europe/Warsaw"]),
    ] {
        let fixture = Fixture::new();
        fixture.file("postroom.toml", toml);
        fixture.run(&["queues"]).refused(2, words);
    }
    Fixture::at("http://127.0.0.1").run(&["queues"]).refused(2, &["REDIS_URL", "redis://"]);
    Fixture::new().with("POSTROOM_COLOUR", "red").run(&["queues"]).refused(2, &["POSTROOM_COLOUR"]);
}

/// A missing password is reported like a wrong one, with the setting that holds it.
#[tokio::test]
async fn a_missing_redis_password_is_reported_with_its_setting() {
    let redis = PrivateRedis::start_tcp().await;
    let addr = redis.addr();
    assert_eq!(redis.ask(&["CONFIG", "SET", "requirepass", "right"]).trim(), "OK");
    let run = |user: &str| Fixture::at(&format!("redis://{user}{addr}")).run(&["queues"]);
    run("").refused(2, &["REDIS_URL", "requires a password", ":PASSWORD@"]);
    run(":wrong@").refused(2, &["REDIS_URL"]);
    let checked = Fixture::at(&format!("redis://{addr}")).run(&["doctor"]);
    assert!(checked.code == 2 && !checked.stdout.contains("start it"), "{checked:?}");
    assert_eq!(run(":right@").code, 0);
}

#[test]
fn a_template_that_does_not_parse_is_named() {
    let fixture = Fixture::new();
    fixture.file("templates/news/subject.txt", "News");
    fixture.file("templates/news/body.txt", "a\n{% if x %}");
    let ran = fixture.run(&["send", "--to", "a@example.org", "--template", "news"]);
    ran.refused(2, &["news/body.txt", "line 2"]);
}

#[test]
fn without_a_templates_folder_any_template_is_accepted() {
    let fixture = Fixture::new();
    let id = fixture.ok(&["send", "--to", "a@example.org", "--template", "anything"]);
    assert_eq!(fixture.status(&id)["template"], "anything");
}

/// A mail near the limit is composed, because headers and line breaks count.
#[test]
fn the_limit_applies_to_the_composed_message() {
    let fixture = Fixture::new().with("MAX_MESSAGE_SIZE", "10kB").with("SMTP_MAIL_FROM", "shop@example.org");
    let send = |text: usize| {
        let text = format!("{}\n", "y".repeat(69)).repeat(text / 70);
        fixture.run(&["send", "--to", "a@example.org", "--subject", "s", "--text", &text])
    };
    assert_eq!(send(9_100).code, 0);
    send(9_870).refused(2, &["the message would have 10", "MAX_MESSAGE_SIZE allows 10000"]);
}

/// The text generated from HTML can be longer than the HTML: each line of a quotation begins with
/// its quotation marks.
#[test]
fn the_text_generated_from_html_counts() {
    let fixture = Fixture::new().with("MAX_MESSAGE_SIZE", "100kB");
    let html = format!("{}{}", "<blockquote>".repeat(30), "a<br>".repeat(5_000));
    let ran = fixture.run(&["send", "--to", "a@example.org", "--subject", "s", "--html", &html]);
    ran.refused(2, &["the message would have", "MAX_MESSAGE_SIZE allows 100000"]);
}

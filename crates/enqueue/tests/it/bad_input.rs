//! Bad input: one clear line, exit code 2, nothing queued.

use postroom_testkit::PrivateRedis;

use crate::Desk;

const MAIL: [&str; 5] = ["send", "--to", "a@example.org", "--subject", "s"];

#[test]
fn each_is_named() {
    let desk = Desk::new().with_templates().with("MAX_MESSAGE_SIZE", "10kB");
    desk.file("big.bin", vec![0; 9_000]);
    desk.file("huge.bin", vec![0; 20_000]);
    desk.file("latin1.txt", b"Gr\xfc\xdfe");
    desk.file("list.json", "[1]");
    let text = ["--text", "t"];
    for (more, words) in [
        (&["--to", "nobody"][..], &["nobody", "no @"][..]),
        (&["--to", "a@b\r\nBcc: c@d"], &["a@b", "may not"]),
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
        let ran = desk.run(&[&MAIL[..], more].concat());
        ran.refused(2, words);
        assert!(ran.stderr.starts_with("error: "), "{ran:?}");
    }
    desk.run(&["send", "--to", "a@example.org", "--subject", "a\nb", "--text", "t"]).refused(2, &["line break"]);
    desk.run(&[&["send", "--to", "a@example.org"], &text[..]].concat()).refused(2, &["subject"]);
    assert_eq!(desk.ok(&["list", "--json"]), "");
}

/// A device never ends: no more of it is read than could be a setting.
#[test]
fn settings_are_not_read_from_a_device() {
    for (name, words) in [
        ("SMTP_PASSWORD_FILE", &["/dev/zero", "more than 4194304 bytes"][..]),
        ("POSTROOM_CONFIG", &["/dev/zero", "more than 4194304 bytes"]),
    ] {
        let desk = Desk::new().with("SMTP_HOST", "mail.example.org").with("SMTP_USERNAME", "u").with(name, "/dev/zero");
        desk.run(&["queues"]).refused(2, words);
    }
    let desk = Desk::new().with("SMTP_HOST", "127.0.0.1").with("SMTP_CA_FILE", "/dev/zero");
    let sync = ["--from", "f@example.org", "--text", "t", "--sync"];
    desk.run(&[&MAIL[..], &sync].concat()).refused(2, &["/dev/zero", "more than 4194304 bytes"]);
    let desk = Desk::new();
    desk.file("templates/news/subject.txt", "News");
    std::os::unix::fs::symlink("/dev/zero", desk.folder().join("templates/news/body.txt")).expect("a link");
    let ran = desk.run(&["send", "--to", "a@example.org", "--template", "news"]);
    ran.refused(2, &["body.txt", "no ordinary file"]);
}

#[test]
fn too_many_recipients_are_refused_at_once() {
    let desk = Desk::new();
    let to: Vec<String> = (0..100_000).map(|n| format!("\"user{n}@example.org\"")).collect();
    let row = format!("{{\"to\": [{}], \"subject\": \"s\", \"text\": \"t\"}}\n", to.join(","));
    let sound = "{\"to\": \"a@example.org\", \"subject\": \"s\", \"text\": \"t\"}\n";
    let ran = desk.run_with(&["bulk", "--jsonl", "-"], format!("{sound}{row}").as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.stderr.chars().take(500).collect::<String>());
    ran.says(&["line 2: to: the mail has 100000 recipients in to, cc and bcc; it may have 1000"]);
}

#[test]
fn errors_are_json_where_results_are() {
    let desk = Desk::new();
    let ran = desk.run(&[&MAIL[..], &["--text", "t", "--queue", "typo", "--json"]].concat());
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).expect("JSON");
    assert_eq!(error["error"]["code"], "invalid");
    assert_eq!(error["error"]["field"], "queue");
    assert!(error["error"]["message"].as_str().is_some_and(|text| text.contains("typo")), "{error}");
    let ran = desk.run(&["status", "emails-01ARZ3NDEKTSV4RRFFQ69G5FAV", "--json"]);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).expect("JSON");
    assert_eq!((ran.code, &error["error"]["code"]), (4, &"not_found".into()));
}

#[test]
fn settings_that_are_wrong_stop_every_command() {
    for (toml, words) in [
        ("quues = 1\n", &["postroom.toml", "line 1", "quues", "queues"][..]),
        ("[queue.x\n", &["postroom.toml", "line 1"]),
        (
            "[[schedule]]\nname = \"n\"\ncron = \"0 0 30 2 *\"\nto = [\"a@b\"]\nsubject = \"s\"\ntext = \"t\"\n",
            &["never fires"],
        ),
        ("timezone = \"Mars/Olympus\"\n", &["Mars/Olympus", "Europe/Warsaw"]),
    ] {
        let desk = Desk::new();
        desk.file("postroom.toml", toml);
        desk.run(&["queues"]).refused(2, words);
    }
    Desk::at("http://127.0.0.1").run(&["queues"]).refused(2, &["REDIS_URL", "redis://"]);
    Desk::new().with("POSTROOM_COLOUR", "red").run(&["queues"]).refused(2, &["POSTROOM_COLOUR"]);
}

/// A password that is missing is told as one that is wrong: by the setting it belongs in.
#[tokio::test]
async fn a_redis_that_wants_a_password_is_told_by_its_setting() {
    let redis = PrivateRedis::start_tcp().await;
    let addr = redis.addr();
    assert_eq!(redis.ask(&["CONFIG", "SET", "requirepass", "right"]).trim(), "OK");
    let run = |user: &str| Desk::at(&format!("redis://{user}{addr}")).run(&["queues"]);
    run("").refused(2, &["REDIS_URL", "requires a password", ":PASSWORD@"]);
    run(":wrong@").refused(2, &["REDIS_URL"]);
    let checked = Desk::at(&format!("redis://{addr}")).run(&["doctor"]);
    assert!(checked.code == 2 && !checked.stdout.contains("start it"), "{checked:?}");
    assert_eq!(run(":right@").code, 0);
}

#[test]
fn a_template_that_does_not_parse_is_named() {
    let desk = Desk::new();
    desk.file("templates/news/subject.txt", "News");
    desk.file("templates/news/body.txt", "a\n{% if x %}");
    let ran = desk.run(&["send", "--to", "a@example.org", "--template", "news"]);
    ran.refused(2, &["news/body.txt", "line 2"]);
}

#[test]
fn without_a_templates_folder_the_workers_will_do() {
    let desk = Desk::new();
    let id = desk.ok(&["send", "--to", "a@example.org", "--template", "anything"]);
    assert_eq!(desk.status(&id)["template"], "anything");
}

/// What is near the limit is composed to know: headers and line ends count. Where nobody says who the sender is, the longest one does.
#[test]
fn the_size_is_that_of_the_message() {
    let desk = Desk::new().with("MAX_MESSAGE_SIZE", "10kB").with("SMTP_MAIL_FROM", "shop@example.org");
    let send = |text: usize| {
        let text = format!("{}\n", "y".repeat(69)).repeat(text / 70);
        desk.run(&["send", "--to", "a@example.org", "--subject", "s", "--text", &text])
    };
    assert_eq!(send(9_100).code, 0);
    send(9_870).refused(2, &["the message would have 10", "MAX_MESSAGE_SIZE allows 10000"]);
}

/// The text that is made from HTML can be much longer than it: each line of a quotation begins with signs that say how deep it is.
#[test]
fn the_text_made_from_html_counts() {
    let desk = Desk::new().with("MAX_MESSAGE_SIZE", "100kB");
    let html = format!("{}{}", "<blockquote>".repeat(30), "a<br>".repeat(5_000));
    let told = desk.run(&["send", "--to", "a@example.org", "--subject", "s", "--html", &html]);
    told.refused(2, &["the message would have", "MAX_MESSAGE_SIZE allows 100000"]);
}

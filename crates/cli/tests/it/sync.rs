//! `--sync`: sending in the foreground, without Redis.

use std::process::Command;

use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase};

use crate::fixture::Fixture;

const MAIL: [&str; 8] = ["send", "--sync", "--to", "ann@example.org", "--subject", "Żółć", "--text", "Hello"];
/// A port without a listener.
const NO_REDIS: &str = "redis://127.0.0.1:1";

#[tokio::test]
async fn one_mail_is_sent() {
    let server = FakeSmtp::start().await;
    let fixture = Fixture::at(NO_REDIS).with_smtp(&server);
    let message_id = fixture.ok(&MAIL);
    let mails = server.received();
    assert_eq!(mails[0].header("Message-ID"), Some(format!("<{message_id}>")));
    assert_eq!(
        (mails[0].mail_from.as_str(), &mails[0].rcpt_to),
        ("desk@example.org", &vec!["ann@example.org".to_owned()])
    );
    assert!(server.violations().is_empty());
}

#[tokio::test]
async fn refused_is_1_with_the_servers_reply_and_in_doubt_is_6() {
    let server = FakeSmtp::start().await;
    let fixture = Fixture::at(NO_REDIS).with_smtp(&server);
    server.fault(Fault::at(FaultPhase::Rcpt, Action::reply(550, "5.1.1 no such user")).times(1));
    fixture.run(&MAIL).refused(1, &["550", "no such user"]);
    server.fault(Fault::at(FaultPhase::Dot, Action::StoreThenClose).times(1));
    assert_eq!(fixture.run(&MAIL).code, 6);
    server.stop();
    fixture.run(&MAIL).refused(1, &["nothing_sent"]);
}

/// The next transport is used if nothing was sent, but not if the mail is in doubt.
#[tokio::test]
async fn the_next_transport_takes_over() {
    let (main, spare) = (FakeSmtp::start().await, FakeSmtp::start().await);
    let fixture = Fixture::at(NO_REDIS).with_smtp(&main);
    let table = |name: &str, server: &FakeSmtp| {
        let port = server.port();
        format!("[transport.{name}]\nkind = 'smtp'\nhost = '127.0.0.1'\nport = {port}\nsecurity = 'none'\n")
    };
    let queues = "[queue.emails]\ntransports = ['main', 'spare']\n";
    fixture.file("postroom.toml", format!("{}{}{queues}", table("main", &main), table("spare", &spare)));
    fixture.ok(&MAIL);
    assert_eq!((main.received_count(), spare.received_count()), (1, 0));
    main.fault(Fault::at(FaultPhase::Dot, Action::StoreThenClose).times(1));
    assert_eq!(fixture.run(&MAIL).code, 6);
    assert_eq!((main.received_count(), spare.received_count()), (2, 0));
    main.stop();
    fixture.ok(&MAIL);
    assert_eq!(spare.received_count(), 1);
}

/// A limit on file sizes simulates a full disk.
#[test]
fn a_full_disk_is_a_failure() {
    let fixture =
        Fixture::at(NO_REDIS).with("MAIL_TRANSPORT", "file:outbox").with("SMTP_MAIL_FROM", "desk@example.org");
    let postroom = fixture.command();
    let envs: Vec<_> = postroom.get_envs().filter_map(|(name, value)| Some((name, value?))).collect();
    let limited = |blocks: &str| {
        let mut shell = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        shell.args(["-c", &script, "sh"]).arg(postroom.get_program()).args(MAIL).env_clear().envs(envs.clone());
        shell.current_dir(fixture.folder()).output().expect("a shell")
    };
    let files = || std::fs::read_dir(fixture.folder().join("outbox")).expect("a folder").count();
    let full = limited("0");
    let stderr = String::from_utf8_lossy(&full.stderr);
    assert_eq!((full.status.code(), files()), (Some(1), 0), "{stderr}");
    assert!(full.stdout.is_empty() && stderr.contains("can't write to the folder outbox"), "{stderr}");
    assert_eq!((limited("unlimited").status.code(), files()), (Some(0), 1));
}

#[tokio::test]
async fn a_bulk_is_sent_one_by_one() {
    let server = FakeSmtp::start().await;
    let fixture = Fixture::at(NO_REDIS).with_smtp(&server).with_templates();
    let args =
        ["bulk", "--sync", "--template", "newsletter", "--csv", "-", "--var", "title=T", "--var", "intro=I", "--json"];
    let csv = concat!(
        "email,name\na@example.org,Żółć\nb@example.org,O'Brien & <b>\nnobody,x\n",
        "b@example.org,again\nc@example.org,{{ name }}\n",
    );
    server.fault(Fault::at(FaultPhase::Rcpt, Action::reply(550, "5.1.1 gone")).recipient("b@example.org"));
    let ran = fixture.run_with(&args, csv.as_bytes());
    assert_eq!(ran.code, 1, "{ran:?}");
    ran.mentions(&["line 4: ", "line 3: ", "gone"]);
    let tally: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(tally, serde_json::json!({"sent": 2, "failed": 1, "unknown": 0, "invalid": 1, "duplicates": 1}));
    assert_eq!((server.received_count(), server.connections()), (2, 1));
}

#[test]
fn a_mail_is_written_to_a_folder() {
    let fixture = Fixture::at(NO_REDIS).with("MAIL_TRANSPORT", "file:outbox").with("SMTP_MAIL_FROM", "a@example.org");
    let message_id = fixture.ok(&MAIL);
    let file = fixture.folder().join("outbox").join(format!("{message_id}.eml"));
    let text = std::fs::read_to_string(file).expect("the mail");
    assert!(text.contains("To: ann@example.org"), "{text}");
}

#[test]
fn a_mail_is_captured_in_redis() {
    let fixture = Fixture::new().with("MAIL_TRANSPORT", "capture").with("SMTP_MAIL_FROM", "a@example.org");
    fixture.ok(&MAIL);
    let fixture = Fixture::at(NO_REDIS).with("MAIL_TRANSPORT", "capture").with("SMTP_MAIL_FROM", "a@example.org");
    fixture.run(&MAIL).refused(1, &["can't be captured"]);
}

#[test]
fn a_missing_transport_or_sender_is_reported() {
    Fixture::at(NO_REDIS)
        .with("SMTP_MAIL_FROM", "a@example.org")
        .run(&MAIL)
        .refused(2, &["SMTP_HOST", "MAIL_TRANSPORT"]);
    Fixture::at(NO_REDIS).with("MAIL_TRANSPORT", "discard").run(&MAIL).refused(2, &["SMTP_MAIL_FROM"]);
    let fixture = Fixture::at(NO_REDIS).with("MAIL_TRANSPORT", "discard").with("SMTP_MAIL_FROM", "a@example.org");
    fixture.run(&["send", "--sync", "--to", "b@example.org", "--template", "news"]).refused(2, &["news", "folder"]);
}

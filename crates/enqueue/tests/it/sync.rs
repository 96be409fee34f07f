//! `--sync`: in the foreground, without Redis.

use std::process::Command;

use postroom_testkit::{Action, FakeSmtp, Fault, Phase};

use crate::Desk;

const MAIL: [&str; 8] = ["send", "--sync", "--to", "ann@example.org", "--subject", "Żółć", "--text", "Hello"];
/// Nobody listens there.
const NO_REDIS: &str = "redis://127.0.0.1:1";

#[tokio::test]
async fn one_mail() {
    let server = FakeSmtp::start().await;
    let desk = Desk::at(NO_REDIS).with_smtp(&server);
    let message_id = desk.ok(&MAIL);
    let mails = server.received();
    assert_eq!(mails[0].header("Message-ID"), Some(format!("<{message_id}>")));
    assert_eq!(
        (mails[0].mail_from.as_str(), &mails[0].rcpt_to),
        ("desk@example.org", &vec!["ann@example.org".to_owned()])
    );
    assert!(server.violations().is_empty());
}

#[tokio::test]
async fn refused_is_1_with_the_servers_words_and_in_doubt_is_6() {
    let server = FakeSmtp::start().await;
    let desk = Desk::at(NO_REDIS).with_smtp(&server);
    server.fault(Fault::at(Phase::Rcpt, Action::reply(550, "5.1.1 no such user")).times(1));
    desk.run(&MAIL).refused(1, &["550", "no such user"]);
    server.fault(Fault::at(Phase::Dot, Action::StoreThenClose).times(1));
    assert_eq!(desk.run(&MAIL).code, 6);
    server.stop();
    desk.run(&MAIL).refused(1, &["nothing_sent"]);
}

/// The next transport takes over where nothing was sent, and never from doubt.
#[tokio::test]
async fn the_next_transport_takes_over() {
    let (main, spare) = (FakeSmtp::start().await, FakeSmtp::start().await);
    let desk = Desk::at(NO_REDIS).with_smtp(&main);
    let table = |name: &str, server: &FakeSmtp| {
        let port = server.port();
        format!("[transport.{name}]\nkind = 'smtp'\nhost = '127.0.0.1'\nport = {port}\nsecurity = 'none'\n")
    };
    let queues = "[queue.emails]\ntransports = ['main', 'spare']\n";
    desk.file("postroom.toml", format!("{}{}{queues}", table("main", &main), table("spare", &spare)));
    desk.ok(&MAIL);
    assert_eq!((main.received_count(), spare.received_count()), (1, 0));
    main.fault(Fault::at(Phase::Dot, Action::StoreThenClose).times(1));
    assert_eq!(desk.run(&MAIL).code, 6);
    assert_eq!((main.received_count(), spare.received_count()), (2, 0));
    main.stop();
    desk.ok(&MAIL);
    assert_eq!(spare.received_count(), 1);
}

/// A limit on the size of files stands in for a full disk.
#[test]
fn what_no_disk_takes_is_not_sent() {
    let desk = Desk::at(NO_REDIS).with("MAIL_TRANSPORT", "file:outbox").with("SMTP_MAIL_FROM", "desk@example.org");
    let postroom = desk.command();
    let envs: Vec<_> = postroom.get_envs().filter_map(|(name, value)| Some((name, value?))).collect();
    let limited = |blocks: &str| {
        let mut shell = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        shell.args(["-c", &script, "sh"]).arg(postroom.get_program()).args(MAIL).env_clear().envs(envs.clone());
        shell.current_dir(desk.folder()).output().expect("a shell")
    };
    let files = || std::fs::read_dir(desk.folder().join("outbox")).expect("a folder").count();
    let full = limited("0");
    let told = String::from_utf8_lossy(&full.stderr);
    assert_eq!((full.status.code(), files()), (Some(1), 0), "{told}");
    assert!(full.stdout.is_empty() && told.contains("can't write to the folder outbox"), "{told}");
    assert_eq!((limited("unlimited").status.code(), files()), (Some(0), 1));
}

#[tokio::test]
async fn a_bulk_one_by_one() {
    let server = FakeSmtp::start().await;
    let desk = Desk::at(NO_REDIS).with_smtp(&server).with_templates();
    let args =
        ["bulk", "--sync", "--template", "newsletter", "--csv", "-", "--var", "title=T", "--var", "intro=I", "--json"];
    let csv = "email,name\na@example.org,Żółć\nb@example.org,O'Brien & <b>\nnobody,x\nb@example.org,again\nc@example.org,{{ name }}\n";
    server.fault(Fault::at(Phase::Rcpt, Action::reply(550, "5.1.1 gone")).recipient("b@example.org"));
    let ran = desk.run_with(&args, csv.as_bytes());
    assert_eq!(ran.code, 1, "{ran:?}");
    ran.says(&["line 4: ", "line 3: ", "gone"]);
    let tally: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(tally, serde_json::json!({"sent": 2, "failed": 1, "unknown": 0, "invalid": 1, "duplicates": 1}));
    assert_eq!((server.received_count(), server.connections()), (2, 1));
}

#[test]
fn into_a_folder() {
    let desk = Desk::at(NO_REDIS).with("MAIL_TRANSPORT", "file:outbox").with("SMTP_MAIL_FROM", "a@example.org");
    let message_id = desk.ok(&MAIL);
    let file = desk.folder().join("outbox").join(format!("{message_id}.eml"));
    let text = std::fs::read_to_string(file).expect("the mail");
    assert!(text.contains("To: ann@example.org"), "{text}");
}

#[test]
fn captured_in_redis() {
    let desk = Desk::new().with("MAIL_TRANSPORT", "capture").with("SMTP_MAIL_FROM", "a@example.org");
    desk.ok(&MAIL);
    let desk = Desk::at(NO_REDIS).with("MAIL_TRANSPORT", "capture").with("SMTP_MAIL_FROM", "a@example.org");
    desk.run(&MAIL).refused(1, &["can't be captured"]);
}

#[test]
fn without_a_transport_or_a_sender_it_says_so() {
    Desk::at(NO_REDIS).with("SMTP_MAIL_FROM", "a@example.org").run(&MAIL).refused(2, &["SMTP_HOST", "MAIL_TRANSPORT"]);
    Desk::at(NO_REDIS).with("MAIL_TRANSPORT", "discard").run(&MAIL).refused(2, &["SMTP_MAIL_FROM"]);
    let desk = Desk::at(NO_REDIS).with("MAIL_TRANSPORT", "discard").with("SMTP_MAIL_FROM", "a@example.org");
    desk.run(&["send", "--sync", "--to", "b@example.org", "--template", "news"]).refused(2, &["news", "folder"]);
}

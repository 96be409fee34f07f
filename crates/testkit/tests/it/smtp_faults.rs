//! What the fake SMTP server does on purpose: each phase, each action, each limit, each check.

use crate::client::Client;
use postroom_testkit::{Action, FakeSmtp, Fault, Phase, TlsMode};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Long enough for anything that should come, short enough to wait for what should not.
const MOMENT: Duration = Duration::from_millis(150);

const ENVELOPE: &str = "MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n";

async fn with(fault: Fault) -> (FakeSmtp, Client) {
    let server = FakeSmtp::start().await;
    server.fault(fault);
    let client = Client::ready(&server).await;
    (server, client)
}

/// The last thing heard by a client that goes through everything: TLS, a login, a mail, RSET, a second mail and QUIT.
async fn last_heard(server: &FakeSmtp) -> String {
    let mut client = Client::connect(server).await;
    let mut heard = client.reply().await;
    for line in ["EHLO a\r\n", "STARTTLS\r\n"] {
        if !heard.starts_with("2") {
            return heard;
        }
        heard = client.ask(line).await;
    }
    if !heard.starts_with("2") {
        return heard;
    }
    let Ok(mut client) = client.try_into_tls(server).await else { return "no TLS".to_owned() };
    for flight in ["EHLO a\r\n", "AUTH PLAIN AHVzZXIAcGFzcw==\r\n"] {
        heard = client.ask(flight).await;
        if !heard.starts_with("2") {
            return heard;
        }
    }
    for _ in 0..2 {
        heard = client.mail("b@x.example").await;
        if !heard.starts_with("250 2.0.0") {
            return heard;
        }
        heard = client.try_ask("RSET\r\n").await;
        if !heard.starts_with("2") {
            return heard;
        }
    }
    client.try_ask("QUIT\r\n").await
}

#[tokio::test]
async fn every_phase_can_end_the_connection_or_say_something_else() {
    let phases = [
        (Phase::Accept, "", ""),
        (Phase::Banner, "", "421 x"),
        (Phase::Ehlo, "", "421 x"),
        (Phase::StartTls, "", "421 x"),
        (Phase::Tls, "no TLS", "no TLS"),
        (Phase::Auth, "", "421 x"),
        (Phase::Mail, "  ", "421  "),
        (Phase::Rcpt, "250  ", "250 421 "),
        (Phase::Data, "250 250 ", "250 250 421"),
        (Phase::Body, "", "421 x"),
        (Phase::Dot, "", "421 x"),
        (Phase::Idle, "", "421 x"),
        (Phase::Rset, "", "421 x"),
        (Phase::Quit, "", "421 x"),
    ];
    for (phase, closed, refused) in phases {
        for (action, expected) in [(Action::Close, closed), (Action::reply_and_close(421, "x"), refused)] {
            let server = FakeSmtp::builder().tls(TlsMode::StartTls).auth("user", "pass").start().await;
            server.fault(Fault::at(phase, action.clone()));
            let heard = last_heard(&server).await;
            // What is said on accepting comes instead of nothing, before the usual.
            let expected = if phase == Phase::Accept && !matches!(action, Action::Close) { "421 x" } else { expected };
            assert_eq!(heard, expected, "{phase:?} {action:?}");
        }
    }
}

#[tokio::test]
async fn a_fault_is_for_the_kth_rcpt_and_all_its_targets_must_fit() {
    let fault = Fault::at(Phase::Rcpt, Action::reply(550, "5.1.1 third"));
    let (server, mut client) = with(fault.clone().rcpt_number(3).message(2)).await;
    server.fault(Fault::at(Phase::Rcpt, Action::reply(451, "4.3.0 x")).sender("z@x.example").rcpt_number(1));
    let flight = "MAIL FROM:<a@x.example>\r\nRCPT TO:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nRCPT TO:<c@x.example>\r\nRCPT TO:<d@x.example>\r\n";
    assert_eq!(client.codes(flight, 5).await, ["250"; 5]);
    assert_eq!(client.ask("RSET\r\n").await, "250 2.0.0 Ok");
    assert_eq!(client.codes(flight, 5).await, ["250", "250", "250", "550", "250"]);
    assert_eq!(server.violations(), [""; 0]);
}

#[tokio::test]
async fn a_content_is_cut_at_a_byte() {
    let (server, mut client) = with(Fault::at(Phase::Body, Action::reply_and_close(421, "enough")).byte(10_000)).await;
    assert!(client.mail("b@x.example").await.starts_with("250"), "a small one is whole");
    client.codes(ENVELOPE, 3).await;
    for _ in 0..9 {
        client.send(&format!("{}\r\n", "x".repeat(998))).await;
    }
    assert!(timeout(MOMENT, client.reply()).await.is_err(), "9,000 bytes are not too many");
    client.send(&format!("{}\r\n{}\r\n", "x".repeat(998), "x".repeat(998))).await;
    assert_eq!(client.reply().await, "421 enough");
    assert_eq!(client.reply().await, "");
    assert_eq!(server.received_count(), 1);
}

#[tokio::test]
async fn a_stall_says_nothing_and_reads_nothing() {
    let (_server, mut client) = with(Fault::at(Phase::Rcpt, Action::Stall)).await;
    assert_eq!(client.codes("MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\n", 1).await, ["250"]);
    assert!(timeout(MOMENT, client.reply()).await.is_err());
    client.send("QUIT\r\n").await;
    assert!(timeout(MOMENT, client.reply()).await.is_err());
}

#[tokio::test]
async fn two_replies_come_in_one_packet_or_one_of_them_late() {
    let (_server, mut client) =
        with(Fault::at(Phase::Dot, Action::Usual.then_sends(Duration::ZERO, "421 4.3.2 and bye\r\n"))).await;
    client.codes(ENVELOPE, 3).await;
    client.send("x\r\n.\r\n").await;
    assert_eq!(client.packet().await, "250 2.0.0 Ok: queued as 1\r\n421 4.3.2 and bye\r\n");

    let late = Action::reply(250, "2.1.0 Ok").then_sends(MOMENT, "550 5.1.8 on second thoughts\r\n");
    let (_server, mut client) = with(Fault::at(Phase::Mail, late)).await;
    let start = Instant::now();
    assert_eq!(client.ask("MAIL FROM:<a@x.example>\r\n").await, "250 2.1.0 Ok");
    assert_eq!(client.reply().await, "550 5.1.8 on second thoughts");
    assert!(start.elapsed() >= MOMENT);
}

#[tokio::test]
async fn a_server_that_said_goodbye_goes_on_talking() {
    for (phase, said) in [(Phase::Mail, "421 x"), (Phase::Quit, "221 2.0.0 Bye")] {
        let act = if phase == Phase::Mail { Action::reply_and_close(421, "x") } else { Action::Usual };
        let (_server, mut client) = with(Fault::at(phase, act.then_sends(MOMENT, "250 2.1.0 Ok\r\n"))).await;
        let line = if phase == Phase::Mail { "MAIL FROM:<a@x.example>\r\n" } else { "QUIT\r\n" };
        assert_eq!(client.ask(line).await, said);
        assert_eq!(client.reply().await, "250 2.1.0 Ok");
        assert_eq!(client.reply().await, "", "and then it closes");
    }
}

#[tokio::test]
async fn a_reply_of_its_own_comes_byte_by_byte() {
    let reply = Action::Reply(550, vec!["5.1.1 no".to_owned(), "5.1.1 such user".to_owned()]);
    let (_server, mut client) = with(Fault::at(Phase::Rcpt, reply.byte_by_byte())).await;
    client.ask("MAIL FROM:<a@x.example>\r\n").await;
    client.send("RCPT TO:<b@x.example>\r\n").await;
    assert_eq!(client.packet().await, "5");
    assert_eq!(client.reply().await, "50-5.1.1 no");
    assert_eq!(client.reply().await, "550 5.1.1 such user");
}

#[tokio::test]
async fn an_idle_connection_ends_and_a_busy_one_does_not() {
    let (_server, mut client) =
        with(Fault::at(Phase::Idle, Action::reply_and_close(421, "4.4.2 idle")).message(2)).await;
    assert!(client.mail("b@x.example").await.starts_with("250"));
    sleep(MOMENT).await;
    assert!(client.mail("b@x.example").await.starts_with("250"), "after the first mail it stays");
    assert_eq!(client.reply().await, "421 4.4.2 idle");
    assert_eq!(client.reply().await, "");

    let (server, mut client) = with(Fault::at(Phase::Idle, Action::Delay(MOMENT * 4)).times(1)).await;
    server.fault(Fault::at(Phase::Idle, Action::Reset));
    for _ in 0..2 {
        assert!(client.mail("b@x.example").await.starts_with("250"), "a client that is quicker escapes");
    }
    assert_eq!(client.reply().await, "!");
}

#[tokio::test]
async fn a_rate_is_refused_in_the_servers_own_words() {
    for (refusal, codes) in [
        (Action::reply(450, "4.7.0 Transmit rate limit exceeded"), ["250", "250", "450"]),
        (Action::reply(454, "Throttling failure: Maximum sending rate exceeded."), ["250", "250", "454"]),
        (Action::reply_and_close(421, "4.7.28 unusual rate"), ["250", "250", "421"]),
    ] {
        let server = FakeSmtp::builder().rate(2, refusal).start().await;
        let mut found = Vec::new();
        for _ in 0..3 {
            // Over all connections.
            found.extend(Client::ready(&server).await.codes("MAIL FROM:<a@x.example>\r\n", 1).await);
        }
        assert_eq!(found, codes);
        sleep(Duration::from_millis(1_050)).await;
        let again = Client::ready(&server).await.codes("MAIL FROM:<a@x.example>\r\n", 1).await;
        assert_eq!(again, ["250"], "a second later it goes on");
    }
}

#[tokio::test]
async fn recipients_of_a_mail_are_limited() {
    let server = FakeSmtp::builder().max_recipients(1).start().await;
    let mut client = Client::ready(&server).await;
    for number in 1..=2 {
        let flight = "MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nRCPT TO:<c@x.example>\r\nDATA\r\n";
        assert_eq!(client.codes(flight, 4).await, ["250", "250", "452", "354"]);
        assert_eq!(client.ask("x\r\n.\r\n").await, format!("250 2.0.0 Ok: queued as {number}"));
    }
    assert_eq!(server.received()[1].rcpt_to, ["b@x.example"]);
}

#[tokio::test]
async fn plain_bytes_follow_the_reply_to_starttls() {
    let server = FakeSmtp::builder().tls(TlsMode::StartTls).start().await;
    server
        .fault(Fault::at(Phase::StartTls, Action::Usual.then_sends(Duration::ZERO, "250-evil\r\n250 AUTH PLAIN\r\n")));
    let mut client = Client::ready(&server).await;
    client.send("STARTTLS\r\n").await;
    assert_eq!(client.packet().await, "220 2.0.0 Go ahead\r\n250-evil\r\n250 AUTH PLAIN\r\n");
    let mut client = client.into_tls(&server).await;
    assert!(client.ask("EHLO a\r\n").await.starts_with("250-fake"), "the handshake goes on as if nothing had been");
}

#[tokio::test]
async fn commands_outside_their_place_are_violations() {
    let long = format!("NOOP {}\r\n", "x".repeat(700));
    let cases: [(&[&str], &str); 4] = [
        (&["RCPT TO:<b@x.example>\r\n"], "RCPT outside a transaction"),
        (&["MAIL FROM:<a@x.example>\r\n", "RSET\r\n", "RCPT TO:<b@x.example>\r\n"], "RCPT outside a transaction"),
        (&["MAIL FROM:<a@x.example>\r\n", "RSET\r\n", "DATA\r\n"], "DATA outside a transaction"),
        (&[&long], "a command line is too long"),
    ];
    for (lines, violation) in cases {
        let server = FakeSmtp::start().await;
        let mut client = Client::ready(&server).await;
        for line in lines {
            client.ask(line).await;
        }
        assert_eq!(server.violations(), [format!("connection 1: {violation}")], "{lines:?}");
    }
    // In the flight of a MAIL that is refused they are what a pipelining client can't help; later they are not.
    let (server, mut client) = with(Fault::at(Phase::Mail, Action::reply(451, "4.3.0 later")).times(1)).await;
    assert_eq!(client.codes(ENVELOPE, 3).await, ["451", "503", "503"]);
    assert_eq!(server.violations(), [""; 0]);
    client.ask("DATA\r\n").await;
    assert_eq!(server.violations().len(), 1);
}

#[tokio::test]
async fn sins_of_a_content_are_violations() {
    let long = format!("{}\r\n", "x".repeat(999));
    for (content, violation) in [
        ("a\nb\r\n", "bare LF in the content"),
        ("a\rb\r\n", "bare CR in the content"),
        (".a\r\n", "a line begins with a dot that was not doubled"),
        (&long, "a line of the content is longer than 998 octets"),
    ] {
        let server = FakeSmtp::start().await;
        let mut client = Client::ready(&server).await;
        client.codes(ENVELOPE, 3).await;
        client.ask(&format!("{content}.\r\n")).await;
        assert_eq!(server.violations(), [format!("connection 1: {violation}")], "{content:?}");
    }
}

#[tokio::test]
async fn what_is_not_offered_may_not_be_used() {
    let server = FakeSmtp::builder().eight_bit_mime(false).smtputf8(false).size(None).start().await;
    let mut client = Client::ready(&server).await;
    for param in ["BODY=8BITMIME", "SMTPUTF8", "SIZE=1"] {
        assert_eq!(client.codes(&format!("MAIL FROM:<a@x.example> {param}\r\n"), 1).await, ["555"]);
    }
    assert_eq!(server.violations().len(), 3);
}

#[tokio::test]
async fn the_ledger_knows_time_connection_message_id_and_envelope() {
    let before = Instant::now();
    let server = FakeSmtp::start().await;
    for id in ["<1.a@x.example>", "<2.b@x.example>"] {
        let mut client = Client::ready(&server).await;
        client.codes(ENVELOPE, 3).await;
        client.ask(&format!("Message-Id: {id}\r\n\r\nx\r\n.\r\n")).await;
    }
    let mails = server.received();
    let ids: Vec<_> = mails.iter().map(|mail| (mail.connection, mail.message_id())).collect();
    assert_eq!(ids, [(1, "1.a@x.example".to_owned()), (2, "2.b@x.example".to_owned())]);
    assert!(before <= mails[0].at && mails[0].at <= mails[1].at);
    assert_eq!((mails[1].mail_from.as_str(), &*mails[1].rcpt_to[0]), ("a@x.example", "b@x.example"));
}

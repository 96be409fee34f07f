//! Tests of the fake SMTP server's faults, limits and checks.

use crate::client::Client;
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase, TlsMode};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Time in which an expected reply arrives. Tests wait this long to see that none arrives.
const MOMENT: Duration = Duration::from_millis(150);

const ENVELOPE: &str = "MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n";

async fn with(fault: Fault) -> (FakeSmtp, Client) {
    let server = FakeSmtp::start().await;
    server.fault(fault);
    let client = Client::ready(&server).await;
    (server, client)
}

/// Runs a session through every phase: TLS, login, mail, RSET, a second mail, QUIT. Returns the
/// last reply.
async fn last_reply(server: &FakeSmtp) -> String {
    let mut client = Client::connect(server).await;
    let mut reply = client.reply().await;
    for line in ["EHLO a\r\n", "STARTTLS\r\n"] {
        if !reply.starts_with("2") {
            return reply;
        }
        reply = client.ask(line).await;
    }
    if !reply.starts_with("2") {
        return reply;
    }
    let Ok(mut client) = client.try_into_tls(server).await else { return "no TLS".to_owned() };
    for line in ["EHLO a\r\n", "AUTH PLAIN AHVzZXIAcGFzcw==\r\n"] {
        reply = client.ask(line).await;
        if !reply.starts_with("2") {
            return reply;
        }
    }
    for _ in 0..2 {
        reply = client.mail("b@x.example").await;
        if !reply.starts_with("250 2.0.0") {
            return reply;
        }
        reply = client.try_ask("RSET\r\n").await;
        if !reply.starts_with("2") {
            return reply;
        }
    }
    client.try_ask("QUIT\r\n").await
}

#[tokio::test]
async fn a_fault_in_any_phase_closes_the_connection_or_replaces_the_reply() {
    let phases = [
        (FaultPhase::Accept, "", ""),
        (FaultPhase::Banner, "", "421 x"),
        (FaultPhase::Ehlo, "", "421 x"),
        (FaultPhase::StartTls, "", "421 x"),
        (FaultPhase::Tls, "no TLS", "no TLS"),
        (FaultPhase::Auth, "", "421 x"),
        (FaultPhase::Mail, "  ", "421  "),
        (FaultPhase::Rcpt, "250  ", "250 421 "),
        (FaultPhase::Data, "250 250 ", "250 250 421"),
        (FaultPhase::Body, "", "421 x"),
        (FaultPhase::Dot, "", "421 x"),
        (FaultPhase::Idle, "", "421 x"),
        (FaultPhase::Rset, "", "421 x"),
        (FaultPhase::Quit, "", "421 x"),
    ];
    for (phase, closed, refused) in phases {
        for (action, expected) in [(Action::Close, closed), (Action::reply_and_close(421, "x"), refused)] {
            let server = FakeSmtp::builder().tls(TlsMode::StartTls).auth("user", "pass").start().await;
            server.fault(Fault::at(phase, action.clone()));
            let reply = last_reply(&server).await;
            // A reply on accept precedes the banner.
            let expected =
                if phase == FaultPhase::Accept && !matches!(action, Action::Close) { "421 x" } else { expected };
            assert_eq!(reply, expected, "{phase:?} {action:?}");
        }
    }
}

#[tokio::test]
async fn a_fault_needs_all_its_targets_to_match() {
    let fault = Fault::at(FaultPhase::Rcpt, Action::reply(550, "5.1.1 third"));
    let (server, mut client) = with(fault.clone().rcpt_number(3).message(2)).await;
    server.fault(Fault::at(FaultPhase::Rcpt, Action::reply(451, "4.3.0 x")).sender("z@x.example").rcpt_number(1));
    let commands = "MAIL FROM:<a@x.example>\r\nRCPT TO:<a@x.example>\r\nRCPT TO:<b@x.example>\r\n\
                    RCPT TO:<c@x.example>\r\nRCPT TO:<d@x.example>\r\n";
    assert_eq!(client.codes(commands, 5).await, ["250"; 5]);
    assert_eq!(client.ask("RSET\r\n").await, "250 2.0.0 Ok");
    assert_eq!(client.codes(commands, 5).await, ["250", "250", "250", "550", "250"]);
    assert_eq!(server.violations(), [""; 0]);
}

#[tokio::test]
async fn the_content_is_interrupted_at_a_byte() {
    let (server, mut client) =
        with(Fault::at(FaultPhase::Body, Action::reply_and_close(421, "enough")).byte(10_000)).await;
    assert!(client.mail("b@x.example").await.starts_with("250"), "a small mail is complete");
    client.codes(ENVELOPE, 3).await;
    for _ in 0..9 {
        client.send(&format!("{}\r\n", "x".repeat(998))).await;
    }
    assert!(timeout(MOMENT, client.reply()).await.is_err(), "9,000 bytes are below the limit");
    client.send(&format!("{}\r\n{}\r\n", "x".repeat(998), "x".repeat(998))).await;
    assert_eq!(client.reply().await, "421 enough");
    assert_eq!(client.reply().await, "");
    assert_eq!(server.received_count(), 1);
}

#[tokio::test]
async fn a_stalled_session_neither_reads_nor_replies() {
    let (_server, mut client) = with(Fault::at(FaultPhase::Rcpt, Action::Stall)).await;
    assert_eq!(client.codes("MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\n", 1).await, ["250"]);
    assert!(timeout(MOMENT, client.reply()).await.is_err());
    client.send("QUIT\r\n").await;
    assert!(timeout(MOMENT, client.reply()).await.is_err());
}

#[tokio::test]
async fn a_second_reply_is_sent_at_once_or_later() {
    let (_server, mut client) =
        with(Fault::at(FaultPhase::Dot, Action::Usual.then_sends(Duration::ZERO, "421 4.3.2 and bye\r\n"))).await;
    client.codes(ENVELOPE, 3).await;
    client.send("x\r\n.\r\n").await;
    assert_eq!(client.packet().await, "250 2.0.0 Ok: queued as 1\r\n421 4.3.2 and bye\r\n");

    let late = Action::reply(250, "2.1.0 Ok").then_sends(MOMENT, "550 5.1.8 on second thoughts\r\n");
    let (_server, mut client) = with(Fault::at(FaultPhase::Mail, late)).await;
    let start = Instant::now();
    assert_eq!(client.ask("MAIL FROM:<a@x.example>\r\n").await, "250 2.1.0 Ok");
    assert_eq!(client.reply().await, "550 5.1.8 on second thoughts");
    assert!(start.elapsed() >= MOMENT);
}

#[tokio::test]
async fn a_reply_can_follow_421_or_221() {
    for (phase, reply) in [(FaultPhase::Mail, "421 x"), (FaultPhase::Quit, "221 2.0.0 Bye")] {
        let action = if phase == FaultPhase::Mail { Action::reply_and_close(421, "x") } else { Action::Usual };
        let (_server, mut client) = with(Fault::at(phase, action.then_sends(MOMENT, "250 2.1.0 Ok\r\n"))).await;
        let line = if phase == FaultPhase::Mail { "MAIL FROM:<a@x.example>\r\n" } else { "QUIT\r\n" };
        assert_eq!(client.ask(line).await, reply);
        assert_eq!(client.reply().await, "250 2.1.0 Ok");
        assert_eq!(client.reply().await, "", "the connection is closed");
    }
}

#[tokio::test]
async fn a_configured_reply_is_sent_byte_by_byte() {
    let reply = Action::Reply(550, vec!["5.1.1 no".to_owned(), "5.1.1 such user".to_owned()]);
    let (_server, mut client) = with(Fault::at(FaultPhase::Rcpt, reply.byte_by_byte())).await;
    client.ask("MAIL FROM:<a@x.example>\r\n").await;
    client.send("RCPT TO:<b@x.example>\r\n").await;
    assert_eq!(client.packet().await, "5");
    assert_eq!(client.reply().await, "50-5.1.1 no");
    assert_eq!(client.reply().await, "550 5.1.1 such user");
}

#[tokio::test]
async fn only_an_idle_connection_is_closed() {
    let (_server, mut client) =
        with(Fault::at(FaultPhase::Idle, Action::reply_and_close(421, "4.4.2 idle")).message(2)).await;
    assert!(client.mail("b@x.example").await.starts_with("250"));
    sleep(MOMENT).await;
    assert!(client.mail("b@x.example").await.starts_with("250"), "the connection stays open after the first mail");
    assert_eq!(client.reply().await, "421 4.4.2 idle");
    assert_eq!(client.reply().await, "");

    let (server, mut client) = with(Fault::at(FaultPhase::Idle, Action::Delay(MOMENT * 4)).times(1)).await;
    server.fault(Fault::at(FaultPhase::Idle, Action::Reset));
    for _ in 0..2 {
        assert!(client.mail("b@x.example").await.starts_with("250"), "a fast client is not disconnected");
    }
    assert_eq!(client.reply().await, "!");
}

#[tokio::test]
async fn mails_above_the_rate_get_the_configured_reply() {
    for (refusal, codes) in [
        (Action::reply(450, "4.7.0 Transmit rate limit exceeded"), ["250", "250", "450"]),
        (Action::reply(454, "Throttling failure: Maximum sending rate exceeded."), ["250", "250", "454"]),
        (Action::reply_and_close(421, "4.7.28 unusual rate"), ["250", "250", "421"]),
    ] {
        let server = FakeSmtp::builder().rate(2, refusal).start().await;
        let mut received = Vec::new();
        for _ in 0..3 {
            // The rate applies to all connections together.
            received.extend(Client::ready(&server).await.codes("MAIL FROM:<a@x.example>\r\n", 1).await);
        }
        assert_eq!(received, codes);
        sleep(Duration::from_millis(1_050)).await;
        let again = Client::ready(&server).await.codes("MAIL FROM:<a@x.example>\r\n", 1).await;
        assert_eq!(again, ["250"], "a second later mails are accepted again");
    }
}

#[tokio::test]
async fn recipients_of_a_mail_are_limited() {
    let server = FakeSmtp::builder().max_recipients(1).start().await;
    let mut client = Client::ready(&server).await;
    for number in 1..=2 {
        let commands = "MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nRCPT TO:<c@x.example>\r\nDATA\r\n";
        assert_eq!(client.codes(commands, 4).await, ["250", "250", "452", "354"]);
        assert_eq!(client.ask("x\r\n.\r\n").await, format!("250 2.0.0 Ok: queued as {number}"));
    }
    assert_eq!(server.received()[1].rcpt_to, ["b@x.example"]);
}

#[tokio::test]
async fn plain_bytes_follow_the_reply_to_starttls() {
    let server = FakeSmtp::builder().tls(TlsMode::StartTls).start().await;
    server.fault(Fault::at(
        FaultPhase::StartTls,
        Action::Usual.then_sends(Duration::ZERO, "250-evil\r\n250 AUTH PLAIN\r\n"),
    ));
    let mut client = Client::ready(&server).await;
    client.send("STARTTLS\r\n").await;
    assert_eq!(client.packet().await, "220 2.0.0 Go ahead\r\n250-evil\r\n250 AUTH PLAIN\r\n");
    let mut client = client.into_tls(&server).await;
    assert!(client.ask("EHLO a\r\n").await.starts_with("250-fake"), "the handshake succeeds");
}

#[tokio::test]
async fn commands_out_of_order_are_violations() {
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
    // Pipelined behind a refused MAIL, such commands are allowed. Afterwards they are violations.
    let (server, mut client) = with(Fault::at(FaultPhase::Mail, Action::reply(451, "4.3.0 later")).times(1)).await;
    assert_eq!(client.codes(ENVELOPE, 3).await, ["451", "503", "503"]);
    assert_eq!(server.violations(), [""; 0]);
    client.ask("DATA\r\n").await;
    assert_eq!(server.violations().len(), 1);
}

#[tokio::test]
async fn malformed_content_is_a_violation() {
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
async fn parameters_that_are_not_offered_are_violations() {
    let server = FakeSmtp::builder().eight_bit_mime(false).smtputf8(false).size(None).start().await;
    let mut client = Client::ready(&server).await;
    for param in ["BODY=8BITMIME", "SMTPUTF8", "SIZE=1"] {
        assert_eq!(client.codes(&format!("MAIL FROM:<a@x.example> {param}\r\n"), 1).await, ["555"]);
    }
    assert_eq!(server.violations().len(), 3);
}

#[tokio::test]
async fn the_ledger_records_time_connection_message_id_and_envelope() {
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

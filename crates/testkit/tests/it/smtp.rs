//! Tests of the fake SMTP server.

use crate::client::Client;
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase, TlsMode};
use std::io::ErrorKind;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_ledger_records_mails_exactly() {
    let server = FakeSmtp::start().await;
    let mut client = Client::ready(&server).await;
    let envelope =
        "MAIL FROM:<> SIZE=30 BODY=8BITMIME\r\nRCPT TO:<b@test.example>\r\nRCPT TO:<c@test.example>\r\nDATA\r\n";
    assert_eq!(client.codes(envelope, 4).await, ["250", "250", "250", "354"]);
    assert_eq!(client.ask("X: 1\r\nsubject: Żółć\r\n  folded\r\n\r\n..a\r\n.\r\n").await, "250 2.0.0 Ok: queued as 1");
    assert!(client.mail("d@test.example").await.starts_with("250"));
    assert_eq!(client.codes("QUIT\r\n", 2).await, ["221", ""]);

    let mails = server.wait_for(2, LIMIT).await;
    assert_eq!(
        (mails[0].mail_from.as_str(), &mails[0].params[..]),
        ("", &["SIZE=30".into(), "BODY=8BITMIME".into()][..])
    );
    assert_eq!(mails[0].rcpt_to, ["b@test.example", "c@test.example"]);
    assert_eq!(mails[0].text(), "X: 1\r\nsubject: Żółć\r\n  folded\r\n\r\n.a\r\n");
    assert_eq!(mails[0].header("Subject").as_deref(), Some("Żółć  folded"));
    assert_eq!((mails[1].connection, mails[1].nth_on_connection), (1, 2));
    assert!(mails[0].at <= mails[1].at && !mails[0].tls && mails[0].auth_user.is_none());
    assert_eq!(server.commands(1)[..2], ["EHLO test", "MAIL FROM:<> SIZE=30 BODY=8BITMIME"]);
    assert_eq!(server.violations(), [""; 0]);
}

#[tokio::test]
async fn faults_are_permanent_or_limited_in_number() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(FaultPhase::Rcpt, Action::reply(550, "5.1.1 no such user")).recipient("bad@x.example"));
    server.fault(Fault::at(FaultPhase::Dot, Action::reply(451, "4.3.0 later")).recipient("slow@x.example").times(2));
    let mut client = Client::ready(&server).await;
    for _ in 0..3 {
        assert_eq!(client.mail("bad@x.example").await, "250 550 554");
        assert_eq!(client.ask("RSET\r\n").await, "250 2.0.0 Ok");
    }
    assert_eq!(client.mail("slow@x.example").await, "451 4.3.0 later");
    assert!(client.mail("good@x.example").await.starts_with("250"));
    assert_eq!(client.mail("slow@x.example").await, "451 4.3.0 later");
    assert!(client.mail("slow@x.example").await.starts_with("250"));
    let to: Vec<_> = server.received().into_iter().map(|mail| mail.rcpt_to.join(",")).collect();
    assert_eq!(to, ["good@x.example", "slow@x.example"]);
    assert_eq!(server.violations(), [""; 0]);
}

#[tokio::test]
async fn an_accepted_mail_can_get_no_reply() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(FaultPhase::Dot, Action::StoreThenClose).message(1));
    server.fault(Fault::at(FaultPhase::Dot, Action::StoreThenStall).message(2));
    assert_eq!(Client::ready(&server).await.mail("a@x.example").await, "");
    let mut client = Client::ready(&server).await;
    let reply = tokio::time::timeout(Duration::from_millis(200), client.mail("b@x.example")).await;
    assert!(reply.is_err(), "{reply:?}");
    assert_eq!(server.received_count(), 2);
}

/// Checks the replies that a client gets for one mail with each fault.
#[tokio::test]
async fn connections_end_as_configured() {
    let cases = [
        (FaultPhase::Mail, Action::Close, "  "),
        (FaultPhase::Rcpt, Action::Close, "250  "),
        (FaultPhase::Data, Action::reply_and_close(421, "4.3.2 bye"), "250 250 421"),
        (FaultPhase::Data, Action::reply(451, "4.3.0 later"), "250 250 451"),
        (FaultPhase::Body, Action::Close, ""),
        (FaultPhase::Body, Action::Reset, "!"),
        (FaultPhase::Dot, Action::Close, ""),
        (FaultPhase::Dot, Action::Reset, "!"),
        (FaultPhase::Dot, Action::Raw(b"?\r\n".to_vec()), "?"),
    ];
    for (phase, action, expected) in cases {
        let server = FakeSmtp::start().await;
        server.fault(Fault::at(phase, action.clone()));
        let mut client = Client::ready(&server).await;
        assert_eq!(client.mail("a@x.example").await, expected, "{phase:?} {action:?}");
        assert_eq!(server.received_count(), 0, "{phase:?} {action:?}");
    }
}

#[tokio::test]
async fn connections_fail_before_the_first_mail() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(FaultPhase::Accept, Action::Close).connection(1));
    server.fault(Fault::at(FaultPhase::Accept, Action::Reset).connection(2));
    server.fault(Fault::at(FaultPhase::Banner, Action::reply(554, "5.3.2 not today")).connection(3));
    server.fault(Fault::at(FaultPhase::Ehlo, Action::Reply(250, vec!["old".into(), "SIZE".into()])).connection(4));
    assert_eq!(Client::connect(&server).await.reply().await, "");
    // The reset may already fail the connect.
    if let Ok(stream) = TcpStream::connect(server.addr()).await {
        assert_eq!(Client::new(stream).reply().await, "!");
    }
    assert_eq!(Client::connect(&server).await.reply().await, "554 5.3.2 not today");
    let mut client = Client::connect(&server).await;
    client.reply().await;
    assert_eq!(client.ask("EHLO test\r\n").await, "250-old\r\n250 SIZE");
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn delays_add_up_and_replies_are_sent_byte_by_byte() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(FaultPhase::Dot, Action::Delay(Duration::from_millis(60))));
    server.fault(Fault::at(FaultPhase::Dot, Action::Delay(Duration::from_millis(40))));
    server.fault(Fault::at(FaultPhase::Dot, Action::Usual.byte_by_byte()).times(1));
    let mut client = Client::ready(&server).await;
    let start = Instant::now();
    assert_eq!(client.mail("a@x.example").await, "250 2.0.0 Ok: queued as 1");
    assert!(start.elapsed() >= Duration::from_millis(100), "{:?}", start.elapsed());
    server.clear_faults();
    assert_eq!(client.mail("a@x.example").await, "250 2.0.0 Ok: queued as 2");
    assert_eq!(server.received_count(), 2);
}

#[tokio::test]
async fn pipelined_commands_share_one_reply_delay() {
    let server = FakeSmtp::builder().reply_delay(Duration::from_millis(300)).start().await;
    let mut client = Client::ready(&server).await;
    let start = Instant::now();
    client.codes("MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nRSET\r\nRSET\r\n", 4).await;
    let elapsed = start.elapsed();
    assert!((Duration::from_millis(300)..Duration::from_millis(1200)).contains(&elapsed), "{elapsed:?}");
}

#[tokio::test]
async fn protocol_violations_are_recorded() {
    let cases = [
        ("MAIL FROM:<a@x.example>\nRSET\r\n", 2, "a command ends with a bare LF"),
        ("MAIL FROM: <a@x.example>\r\n", 1, "a malformed command"),
        ("hello\r\n", 1, "not a command"),
        ("NOOP\r\nNOOP\r\n", 2, "more follows Noop before its reply"),
        ("MAIL FROM:<a@x.example>\r\nMAIL FROM:<a@x.example>\r\n", 2, "MAIL inside a transaction"),
        ("MAIL FROM:<a@x.example> RET=HDRS\r\n", 1, "MAIL has RET=HDRS, which was not offered"),
        ("MAIL FROM:<ż@x.example>\r\n", 1, "the sender needs SMTPUTF8, which MAIL did not request"),
        ("STARTTLS\r\n", 1, "STARTTLS was not offered"),
    ];
    for (commands, replies, violation) in cases {
        let server = FakeSmtp::start().await;
        Client::ready(&server).await.codes(commands, replies).await;
        assert_eq!(server.violations(), [format!("connection 1: {violation}")], "{commands:?}");
    }
}

#[tokio::test]
async fn content_before_354_is_a_violation() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(FaultPhase::Data, Action::Delay(Duration::from_millis(200))));
    let mut client = Client::ready(&server).await;
    client.send("MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n").await;
    assert!(client.reply().await.starts_with("250"));
    assert!(client.reply().await.starts_with("250"));
    assert!(client.ask("hi\r\n.\r\n").await.starts_with("354"));
    assert!(client.reply().await.starts_with("250"));
    assert_eq!(server.violations(), ["connection 1: content received before 354 was sent"]);
}

#[tokio::test]
async fn content_after_a_refused_data_and_eight_bits_are_violations() {
    let server = FakeSmtp::start().await;
    let mut client = Client::ready(&server).await;
    client.codes("MAIL FROM:<a@x.example>\r\nDATA\r\n", 2).await;
    client.ask("hi\r\n").await;
    client.codes("RCPT TO:<b@x.example>\r\nDATA\r\n", 2).await;
    client.ask("ż\r\n.\r\n").await;
    let expected = ["connection 1: not a command", "connection 1: 8-bit content without BODY=8BITMIME"];
    assert_eq!(server.violations(), expected);
}

#[tokio::test]
async fn pipelining_that_is_not_offered_is_a_violation() {
    let server = FakeSmtp::builder().pipelining(false).lower_case().size(None).start().await;
    let mut client = Client::connect(&server).await;
    client.reply().await;
    let extensions = client.ask("EHLO test\r\n").await;
    assert_eq!(extensions, "250-fake.postroom.test\r\n250-8bitmime\r\n250-smtputf8\r\n250 enhancedstatuscodes");
    client.codes("MAIL FROM:<a@x.example>\r\nRSET\r\n", 2).await;
    assert_eq!(server.violations(), ["connection 1: commands are pipelined although that is not offered"]);
}

#[tokio::test]
async fn tls_from_the_start_or_after_starttls() {
    for mode in [TlsMode::Implicit, TlsMode::StartTlsRequired] {
        let server = FakeSmtp::builder().tls(mode).start().await;
        let mut client = if mode == TlsMode::Implicit {
            let mut client = Client::connect(&server).await.into_tls(&server).await;
            client.reply().await;
            client
        } else {
            let mut client = Client::ready(&server).await;
            assert_eq!(client.mail("a@x.example").await, "530 503 503");
            assert_eq!(client.ask("STARTTLS\r\n").await, "220 2.0.0 Go ahead");
            client.into_tls(&server).await
        };
        assert!(!client.ask("EHLO test\r\n").await.contains("STARTTLS"), "{mode:?}");
        assert!(client.mail("a@x.example").await.starts_with("250"), "{mode:?}");
        assert!(server.received()[0].tls, "{mode:?}");
        assert_eq!(server.violations(), [""; 0], "{mode:?}");
    }
}

#[tokio::test]
async fn a_login_is_required_and_checked() {
    let server = FakeSmtp::builder().auth("user", "pass").start().await;
    let mut client = Client::ready(&server).await;
    assert_eq!(client.mail("a@x.example").await, "530 503 503");
    assert_eq!(client.codes("AUTH PLAIN AHVzZXIAd3Jvbmc=\r\n", 1).await, ["535"]);
    assert_eq!(client.ask("AUTH LOGIN\r\n").await, "334 VXNlcm5hbWU6");
    assert_eq!(client.ask("dXNlcg==\r\n").await, "334 UGFzc3dvcmQ6");
    assert_eq!(client.codes("cGFzcw==\r\n", 1).await, ["235"]);
    assert!(client.mail("a@x.example").await.starts_with("250"));
    assert_eq!(server.received()[0].auth_user.as_deref(), Some("user"));
}

#[tokio::test]
async fn sizes_messages_and_connections_are_limited() {
    let server = FakeSmtp::builder().size(30).max_messages(2).max_connections(1).start().await;
    let mut client = Client::ready(&server).await;
    assert_eq!(client.codes("MAIL FROM:<a@x.example> SIZE=31\r\n", 1).await, ["552"]);
    assert_eq!(
        client.codes("MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n", 3).await,
        ["250", "250", "354"]
    );
    assert_eq!(client.codes("0123456789012345678901234567890\r\n.\r\n", 1).await, ["552"]);
    assert!(Client::connect(&server).await.reply().await.starts_with("421"));
    for _ in 0..2 {
        assert!(client.mail("b@x.example").await.starts_with("250"));
    }
    assert_eq!(client.codes("MAIL FROM:<a@x.example>\r\n", 2).await, ["421", ""]);
    assert_eq!((server.connections(), server.peak_connections()), (2, 2));
}

#[tokio::test]
async fn a_stopped_server_can_be_started_again() {
    let server = FakeSmtp::start().await;
    let mut client = Client::ready(&server).await;
    assert!(client.mail("a@x.example").await.starts_with("250"));
    server.stop();
    assert_eq!(client.reply().await, "");
    let refused = TcpStream::connect(server.addr()).await.expect_err("the port is closed");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    server.start_again();
    assert!(Client::ready(&server).await.mail("a@x.example").await.starts_with("250"));
    assert_eq!(server.received_count(), 2);
}

#[tokio::test]
#[should_panic(expected = "for 2 mails; 1 were received on 1 connections:\n  to a@x.example: hello")]
async fn missing_mails_panic_with_the_received_ones() {
    let server = FakeSmtp::start().await;
    Client::ready(&server).await.mail("a@x.example").await;
    server.wait_for(2, Duration::from_millis(50)).await;
}

#[tokio::test]
async fn thousands_of_mails_are_received_in_time() {
    let server = FakeSmtp::start().await;
    let mut client = Client::ready(&server).await;
    let start = Instant::now();
    for _ in 0..5_000 {
        client.mail("a@x.example").await;
    }
    assert_eq!(server.wait_for(5_000, LIMIT).await.len(), 5_000);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}

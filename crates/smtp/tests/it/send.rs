//! Tests of sending: commands on the wire, and outcomes by the replies.

use std::sync::atomic::{AtomicBool, Ordering};

use postroom_smtp::{Commit, Envelope, ErrorKind, Phase, RcptReply, SendOutcome, SendReport, Session};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase as At};

use crate::support::{MESSAGE, ada, address, connected, proceed, receipt, send, to};

/// Servers with and without PIPELINING.
async fn servers() -> [FakeSmtp; 2] {
    [FakeSmtp::start().await, FakeSmtp::builder().pipelining(false).start().await]
}

#[track_caller]
fn assert_no_violations(server: &FakeSmtp) {
    assert!(server.violations().is_empty(), "{:?}", server.violations());
}

fn refusal(report: &SendReport) -> (Phase, u16) {
    match &report.outcome {
        SendOutcome::Refused { phase, reply } => (*phase, reply.code),
        other => panic!("not refused: {other:?}"),
    }
}

fn describe(one: &RcptReply) -> String {
    match &one.reply {
        Ok(reply) => format!("{} {reply}", one.address),
        Err(refusal) => format!("{} {refusal}", one.address),
    }
}

#[tokio::test]
async fn several_mails_use_one_connection() {
    for server in servers().await {
        let mut session = connected(&server).await;
        for number in 1..=3 {
            assert_eq!(receipt(send(&mut session).await), format!("250 2.0.0 Ok: queued as {number}"));
            assert_eq!(session.messages(), number);
            assert!(session.is_reusable() && !session.is_stale());
        }
        session.quit().await;
        let mails = server.received();
        assert_eq!((mails.len(), server.connections()), (3, 1));
        assert_eq!(mails[2].data, MESSAGE);
        assert_eq!(mails[2].mail_from, "shop@example.org");
        assert_eq!(mails[2].rcpt_to, ["ada@example.net"]);
        assert_eq!(mails[2].params, [format!("SIZE={}", MESSAGE.len())]);
        assert!(!server.commands(1).contains(&"RSET".to_owned()));
        assert_no_violations(&server);
    }
}

#[tokio::test]
async fn replies_may_arrive_byte_by_byte() {
    let server = FakeSmtp::start().await;
    for phase in [At::Banner, At::Ehlo, At::Mail, At::Rcpt, At::Data, At::Dot, At::Quit] {
        server.fault(Fault::at(phase, Action::Usual.byte_by_byte()));
    }
    let mut session = connected(&server).await;
    receipt(send(&mut session).await);
    receipt(send(&mut session).await);
    session.quit().await;
    let mails = server.received();
    assert!(mails.len() == 2 && mails.iter().all(|mail| mail.data == MESSAGE), "{mails:?}");
}

#[tokio::test]
async fn messages_arrive_unchanged() {
    let dots = b".\r\n..\r\n.a\r\nb.\r\n\r\n.\r\n";
    let small = [MESSAGE, dots].concat();
    let large = [MESSAGE, &dots.repeat(20_000)].concat();
    let ragged = [MESSAGE, b"a\n.\nb\r.\rc"].concat();
    let normalized = [MESSAGE, b"a\r\n.\r\nb\r\n.\r\nc\r\n"].concat();
    for server in servers().await {
        let mut session = connected(&server).await;
        for (message, expected) in [(&small, &small), (&large, &large), (&ragged, &normalized), (&small, &small)] {
            receipt(session.send(&ada(), message, proceed()).await);
            let mail = server.received().pop().expect("a mail");
            assert!(mail.data == *expected, "{} bytes of {}", mail.data.len(), expected.len());
        }
        assert_no_violations(&server);
    }
}

#[tokio::test]
async fn the_null_sender_is_sent() {
    let server = FakeSmtp::start().await;
    let envelope = Envelope::new(None, vec![address("ada@example.net")]).expect("an envelope");
    receipt(connected(&server).await.send(&envelope, MESSAGE, proceed()).await);
    assert_eq!(server.received()[0].mail_from, "");
}

#[tokio::test]
async fn many_recipients_are_sent_in_several_writes() {
    for server in servers().await {
        let names: Vec<_> = (0..175).map(|number| format!("reader{number}@example.net")).collect();
        let envelope = to(&names.iter().map(String::as_str).collect::<Vec<_>>());
        server.fault(Fault::at(At::Rcpt, Action::reply(550, "5.1.1 no")).recipient("reader60@example.net"));
        let report = connected(&server).await.send(&envelope, MESSAGE, proceed()).await.expect("a result");
        assert_eq!((report.accepted().count(), report.refused().count()), (174, 1));
        assert_eq!(server.received()[0].rcpt_to.len(), 174);
        assert_no_violations(&server);
    }
}

#[tokio::test]
async fn a_message_over_the_size_limit_is_not_begun() {
    let server = FakeSmtp::builder().size(MESSAGE.len() - 1).start().await;
    let mut session = connected(&server).await;
    let error = send(&mut session).await.expect_err("too big");
    assert!(matches!(error.kind(), ErrorKind::TooBig { limit, .. } if *limit == MESSAGE.len() as u64 - 1), "{error}");
    assert!(error.nothing_sent() && session.is_reusable());
    assert_eq!(server.commands(1), ["EHLO localhost"]);
    receipt(session.send(&ada(), b"Subject: x\r\n\r\n", proceed()).await);
}

#[tokio::test]
async fn eight_bit_messages_and_utf8_addresses_need_the_extension() {
    let message = "Subject: hello\r\n\r\nżółć\r\n".as_bytes();
    let name = to(&["żółć@example.net"]);
    let server = FakeSmtp::start().await;
    let mut session = connected(&server).await;
    receipt(session.send(&ada(), message, proceed()).await);
    receipt(session.send(&name, MESSAGE, proceed()).await);
    let mails = server.received();
    assert_eq!(mails[0].params, [&format!("SIZE={}", message.len()), "BODY=8BITMIME"]);
    assert_eq!(mails[1].params, [&format!("SIZE={}", MESSAGE.len()), "SMTPUTF8"]);
    let header = "From: żółć@example.org\r\n\r\nhello\r\n".as_bytes();
    receipt(session.send(&ada(), header, proceed()).await);
    let size = format!("SIZE={}", header.len());
    assert_eq!(server.received()[2].params, [&size, "BODY=8BITMIME", "SMTPUTF8"]);
    assert_no_violations(&server);

    let server = FakeSmtp::builder().eight_bit_mime(false).smtputf8(false).start().await;
    let mut session = connected(&server).await;
    let error = session.send(&ada(), message, proceed()).await.expect_err("8 bits");
    assert!(matches!(error.kind(), ErrorKind::EightBitMissing), "{error}");
    let error = session.send(&name, MESSAGE, proceed()).await.expect_err("UTF-8");
    assert!(matches!(error.kind(), ErrorKind::SmtpUtf8Missing(_)), "{error}");
    let server = FakeSmtp::builder().smtputf8(false).start().await;
    let mut session = connected(&server).await;
    let error = session.send(&ada(), header, proceed()).await.expect_err("UTF-8");
    assert_eq!(error.kind().to_string(), "a header is not ASCII, and the server does not offer SMTPUTF8");
    assert_eq!(server.commands(1), ["EHLO localhost"]);
    assert!(session.is_reusable());
}

#[tokio::test]
async fn refused_recipients_are_reported() {
    for server in servers().await {
        server.fault(Fault::at(At::Rcpt, Action::reply(550, "5.1.1 no such user")).recipient("bob@example.net"));
        server.fault(Fault::at(At::Rcpt, Action::reply(451, "4.7.1 greylisted")).recipient("eve@example.net"));
        let mut session = connected(&server).await;
        let envelope = to(&["bob@example.net", "ada@example.net", "eve@example.net"]);
        let report = session.send(&envelope, MESSAGE, proceed()).await.expect("a result");
        let replies: Vec<_> = report.recipients.iter().map(describe).collect();
        assert_eq!(
            replies,
            [
                "bob@example.net 550 5.1.1 no such user",
                "ada@example.net 250 2.1.5 Ok",
                "eve@example.net 451 4.7.1 greylisted"
            ]
        );
        assert!(matches!(report.outcome, SendOutcome::Accepted { .. }));
        assert_eq!(server.received()[0].rcpt_to, ["ada@example.net"]);
        receipt(send(&mut session).await);
        assert_no_violations(&server);
    }
}

/// Sends a mail that is refused, then one that is accepted. Returns the first result, and whether
/// the hook ran.
async fn refused_then_accepted(server: &FakeSmtp, fault: Fault) -> (SendReport, bool) {
    let mut session = connected(server).await;
    server.fault(fault.times(1));
    let ran = AtomicBool::new(false);
    let hook = async {
        ran.store(true, Ordering::Relaxed);
        Commit::Proceed
    };
    let report = session.send(&ada(), MESSAGE, hook).await.expect("a result");
    assert!(session.is_reusable());
    assert_eq!(server.received_count(), 0);
    receipt(send(&mut session).await);
    assert_eq!(server.commands(1).iter().filter(|line| *line == "RSET").count(), 1);
    assert_no_violations(server);
    (report, ran.into_inner())
}

#[tokio::test]
async fn a_refusal_at_mail_is_an_outcome() {
    for server in servers().await {
        let fault = Fault::at(At::Mail, Action::reply(550, "5.7.26 who are you"));
        let (report, hook_ran) = refused_then_accepted(&server, fault).await;
        assert_eq!(refusal(&report), (Phase::Mail, 550));
        assert!(report.recipients.is_empty() && !hook_ran);
    }
}

#[tokio::test]
async fn a_refusal_of_all_recipients_is_an_outcome() {
    for server in servers().await {
        let fault = Fault::at(At::Rcpt, Action::reply(550, "5.1.1 no such user"));
        let (report, hook_ran) = refused_then_accepted(&server, fault).await;
        assert!(matches!(report.outcome, SendOutcome::AllRefused), "{report:?}");
        assert_eq!(report.refused().next().map(|(_, refusal)| refusal.code), Some(550));
        assert!(!hook_ran);
    }
}

#[tokio::test]
async fn a_refusal_at_data_is_an_outcome() {
    for server in servers().await {
        let fault = Fault::at(At::Data, Action::reply(451, "4.3.0 not now"));
        let (report, _) = refused_then_accepted(&server, fault).await;
        assert_eq!(refusal(&report), (Phase::Data, 451));
        assert_eq!(report.accepted().count(), 1);
    }
}

#[tokio::test]
async fn a_refusal_at_the_dot_is_an_outcome() {
    for server in servers().await {
        let fault = Fault::at(At::Dot, Action::reply(554, "5.6.0 spam"));
        let (report, hook_ran) = refused_then_accepted(&server, fault).await;
        assert_eq!(refusal(&report), (Phase::Dot, 554));
        assert!(hook_ran);
    }
}

#[tokio::test]
async fn an_empty_message_ends_data_without_recipients() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(At::Rcpt, Action::reply(550, "5.1.1 no such user")).times(1));
    server.fault(Fault::at(At::Data, Action::reply(354, "go on")).times(1));
    let mut session: Session = connected(&server).await;
    let report = send(&mut session).await.expect("a result");
    assert!(matches!(report.outcome, SendOutcome::AllRefused), "{report:?}");
    receipt(send(&mut session).await);
    let mails = server.received();
    assert_eq!((mails[0].data.len(), mails[0].rcpt_to.len()), (0, 0), "an empty message without recipients");
    assert_eq!(mails[1].data, MESSAGE);
    assert_no_violations(&server);
}

//! Tests against servers that close or send malformed replies, phase by phase.

use postroom_smtp::{Credentials, Endpoint, ErrorKind, Phase, SendOutcome, Session, SmtpError};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase as At, TlsMode, eventually};

use crate::support::{TEST_TIMEOUT, connected, long_limits, plain, receipt, send, starttls};

/// Runs every phase: STARTTLS, login, and two mails of which the first is refused.
async fn run_all_phases(server: &FakeSmtp) -> Result<(), SmtpError> {
    let credentials = Some(Credentials::new("ada", "secret"));
    let endpoint = Endpoint { credentials, limits: long_limits(), ..starttls(server) };
    let mut session = Session::connect(&endpoint).await?;
    let result = send(&mut session).await;
    assert_eq!(session.is_reusable(), matches!(&result, Ok(report) if !is_in_doubt(&report.outcome)));
    if let SendOutcome::InDoubt { error } = result?.outcome {
        return Err(error);
    }
    let result = send(&mut session).await.map(drop);
    session.quit().await;
    result
}

fn is_in_doubt(outcome: &SendOutcome) -> bool {
    matches!(outcome, SendOutcome::InDoubt { .. })
}

async fn server(pipelining: bool, at: At, action: Action) -> FakeSmtp {
    let builder = FakeSmtp::builder().tls(TlsMode::StartTls).auth("ada", "secret").pipelining(pipelining);
    let server = builder.start().await;
    server.fault(Fault::at(at, action));
    server.fault(Fault::at(At::Dot, Action::reply(554, "5.6.0 no")).times(1));
    server
}

const PHASES: [(At, Phase); 9] = [
    (At::Banner, Phase::Greeting),
    (At::Ehlo, Phase::Ehlo),
    (At::StartTls, Phase::StartTls),
    (At::Auth, Phase::Auth),
    (At::Mail, Phase::Mail),
    (At::Rcpt, Phase::Rcpt),
    (At::Data, Phase::Data),
    (At::Dot, Phase::Dot),
    (At::Rset, Phase::Rset),
];

#[tokio::test]
async fn a_server_closes_with_421_in_each_phase() {
    for pipelining in [true, false] {
        for (at, phase) in PHASES {
            let server = server(pipelining, at, Action::reply_and_close(421, "4.3.2 bye")).await;
            let error = run_all_phases(&server).await.expect_err("closed");
            assert_eq!(error.phase(), phase, "{error}");
            assert_eq!(error.reply().map(|reply| reply.code), Some(421), "{error}");
            assert!(error.nothing_sent());
            assert_eq!(server.received_count(), 0);
        }
    }
}

#[tokio::test]
async fn a_server_closes_silently_in_each_phase() {
    for (at, phase) in PHASES {
        let server = server(true, at, Action::Close).await;
        let error = run_all_phases(&server).await.expect_err("closed");
        assert_eq!(error.phase(), phase, "{error}");
        assert_eq!(error.is_in_doubt(), phase == Phase::Dot, "{error}");
    }
}

#[tokio::test]
async fn an_endless_reply_is_an_error() {
    let endless = b"250-and on and on\r\n".repeat(10_000);
    for raw in [endless, vec![b'2'; 100_000]] {
        let server = FakeSmtp::start().await;
        server.fault(Fault::at(At::Ehlo, Action::Raw(raw)));
        let error = Session::connect(&plain(&server)).await.expect_err("no end");
        assert_eq!(error.phase(), Phase::Ehlo);
        assert!(matches!(error.kind(), ErrorKind::ReplyTooLong), "{error}");
    }
}

#[tokio::test]
async fn a_server_of_another_protocol_is_an_error() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(At::Banner, Action::Raw(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec())));
    let error = Session::connect(&plain(&server)).await.expect_err("not SMTP");
    assert_eq!(error.phase(), Phase::Greeting);
    assert!(error.to_string().contains("SSH-2.0"), "{error}");
}

#[tokio::test]
async fn an_idle_connection_closed_by_the_server_is_stale() {
    let server = FakeSmtp::start().await;
    let mut session = connected(&server).await;
    receipt(send(&mut session).await);
    assert!(!session.is_stale());
    server.stop();
    eventually(TEST_TIMEOUT, "the session is stale", async || session.is_stale().then_some(())).await;
    assert!(session.is_reusable(), "the last transaction ended properly");
}

//! Tests of time limits: each phase has its own, and a session that exceeded one is never used
//! again.

use std::{sync::Arc, time::Duration};

use postroom_smtp::{
    ConnectionSecurity, Credentials, Endpoint, Phase, Pool, PoolLimits, SendOutcome, Session, SmtpError, TimeLimits,
};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase as At, TlsMode};
use socket2::{Domain, Socket, Type};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use crate::support::{MESSAGE, TEST_TIMEOUT, ada, long_limits, plain, proceed, receipt, send, starttls};

const SHORT: Duration = Duration::from_millis(150);

/// More bytes than the socket buffers of both sides hold.
const LARGE: usize = 16_000_000;

/// Limits with a short one for this phase.
fn short(phase: Phase) -> TimeLimits {
    let mut limits = long_limits();
    match phase {
        Phase::Connect => limits.connect = SHORT,
        Phase::Tls => limits.tls = SHORT,
        Phase::Greeting => limits.greeting = SHORT,
        Phase::Data | Phase::Body => limits.data = SHORT,
        Phase::Dot => (limits.dot, limits.dot_max) = (SHORT, SHORT),
        Phase::Quit => limits.quit = SHORT,
        Phase::Ehlo | Phase::StartTls | Phase::Auth | Phase::Mail | Phase::Rcpt | Phase::Rset => limits.command = SHORT,
    }
    limits
}

/// Phase in which the server stalls, and the phase of the resulting error.
const STALLS: [(At, Phase); 14] = [
    (At::Accept, Phase::Greeting),
    (At::Banner, Phase::Greeting),
    (At::Ehlo, Phase::Ehlo),
    (At::StartTls, Phase::StartTls),
    (At::Tls, Phase::Tls),
    (At::Auth, Phase::Auth),
    (At::Mail, Phase::Mail),
    (At::Rcpt, Phase::Rcpt),
    (At::Data, Phase::Data),
    (At::Body, Phase::Body),
    (At::Dot, Phase::Dot),
    (At::Idle, Phase::Mail),
    (At::Rset, Phase::Rset),
    (At::Quit, Phase::Quit),
];

#[tokio::test]
async fn each_phase_has_its_own_limit() {
    let mut stalls = JoinSet::new();
    for pipelining in [true, false] {
        for (at, phase) in STALLS {
            stalls.spawn(stall(pipelining, at, phase));
        }
    }
    stalls.join_all().await;
}

async fn stall(pipelining: bool, at: At, phase: Phase) {
    let builder = FakeSmtp::builder().tls(TlsMode::StartTls).auth("ada", "secret").pipelining(pipelining);
    let server = builder.start().await;
    server.fault(Fault::at(at, Action::Stall));
    if at == At::Rset {
        server.fault(Fault::at(At::Dot, Action::reply(554, "5.6.0 no")).times(1));
    }
    let credentials = Some(Credentials::new("ada", "secret"));
    let endpoint = Endpoint { credentials, limits: short(phase), ..starttls(&server) };
    let pool = Pool::new(endpoint, PoolLimits::default());
    let message = b"Subject: x\r\n\r\nx\r\n".repeat(if phase == Phase::Body { LARGE / 20 } else { 1 });
    let sending = timeout(TEST_TIMEOUT, two_mails(&pool, &message)).await.expect("a result in time");
    if at == At::Quit {
        sending.expect("both are accepted");
        timeout(TEST_TIMEOUT, pool.close()).await.expect("a close in time");
        return;
    }
    let error = sending.expect_err("stalled");
    assert_eq!((error.phase(), error.is_timeout()), (phase, true), "{at:?}: {error}");
    assert_eq!(error.is_in_doubt(), phase == Phase::Dot, "{at:?}: {error}");
    assert_eq!(pool.idle(), 0, "{at:?}: an unusable session is in the pool");
    server.clear_faults();
    let mut session = pool.checkout().await.expect("a session");
    receipt(send(&mut session).await);
    assert_eq!(server.connections(), 2, "{at:?}");
}

async fn two_mails(pool: &Pool, message: &[u8]) -> Result<(), SmtpError> {
    for _ in 0..2 {
        let mut session = pool.checkout().await?;
        let report = session.send(&ada(), message, proceed()).await?;
        if let SendOutcome::InDoubt { error } = report.outcome {
            return Err(error);
        }
    }
    Ok(())
}

/// Opens a listener with a full queue, so that the kernel accepts no connection.
async fn unresponsive_listener() -> (Socket, u16, JoinSet<()>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a port");
    socket.listen(0).expect("a listener");
    let port = socket.local_addr().ok().and_then(|addr| addr.as_socket()).expect("an address").port();
    let mut waiting = JoinSet::new();
    for _ in 0..8 {
        waiting.spawn(async move {
            let stream = TcpStream::connect(("127.0.0.1", port)).await;
            std::future::pending::<()>().await;
            drop(stream);
        });
    }
    tokio::time::sleep(SHORT).await;
    (socket, port, waiting)
}

#[tokio::test]
async fn an_unresponsive_host_is_a_connect_timeout() {
    let (_socket, port, _waiting) = unresponsive_listener().await;
    let endpoint =
        Endpoint { limits: short(Phase::Connect), ..Endpoint::new("127.0.0.1", port, ConnectionSecurity::None) };
    let error =
        timeout(TEST_TIMEOUT, Session::connect(&endpoint)).await.expect("a result in time").expect_err("no connection");
    assert_eq!((error.phase(), error.is_timeout(), error.nothing_sent()), (Phase::Connect, true, true), "{error}");
}

/// The limit covers the whole reply, not each byte.
#[tokio::test]
async fn a_slow_reply_exceeds_its_limit() {
    let server = FakeSmtp::start().await;
    let slow = Action::reply(250, &"x".repeat(2_000)).byte_by_byte();
    server.fault(Fault::at(At::Mail, slow));
    let endpoint = Endpoint { limits: short(Phase::Mail), ..plain(&server) };
    let mut session = Session::connect(&endpoint).await.expect("a session");
    let error = send(&mut session).await.expect_err("too slow");
    assert_eq!((error.phase(), error.is_timeout()), (Phase::Mail, true), "{error}");
}

/// Bytes that arrive between mails are not treated as a reply to the next mail.
#[tokio::test]
async fn unexpected_input_between_mails_ends_the_session() {
    for (phase, action) in [
        (At::Dot, Action::Usual.then_sends(Duration::ZERO, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n")),
        (At::Dot, Action::Usual.then_sends(SHORT, "421 4.4.2 idle\r\n")),
        (At::Idle, Action::reply_and_close(421, "4.4.2 idle")),
    ] {
        let server = FakeSmtp::start().await;
        server.fault(Fault::at(phase, action.clone()).times(1));
        let pool = Pool::new(plain(&server), PoolLimits::default());
        for _ in 0..2 {
            let mut session = pool.checkout().await.expect("a session");
            receipt(send(&mut session).await);
            drop(session);
            tokio::time::sleep(SHORT * 2).await;
        }
        assert_eq!((server.received_count(), server.connections()), (2, 2), "{action:?}");
    }
}

#[tokio::test]
async fn a_closed_session_is_replaced_under_the_same_permit() {
    let server = FakeSmtp::start().await;
    let pool = Pool::new(plain(&server), PoolLimits { connections: Some(1), ..PoolLimits::default() });
    receipt(send(&mut pool.checkout().await.expect("a session")).await);
    server.fault(Fault::at(At::Mail, Action::Close).times(1));
    let mut session = pool.checkout().await.expect("a session");
    assert_eq!(session.messages(), 1);
    let error = send(&mut session).await.expect_err("closed");
    assert!(error.is_closed() && error.nothing_sent(), "{error}");
    let mut session = session.renew(&Arc::new(ada()), MESSAGE, false).await.expect("a new session");
    assert_eq!(session.messages(), 0);
    receipt(send(&mut session).await);
    drop(session);
    assert_eq!((pool.idle(), server.connections(), server.received_count()), (1, 2, 2));
}

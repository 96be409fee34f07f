//! A server that stalls: each phase has a limit of its own, and what was in the middle of something is never used again.

use std::time::Duration;

use postroom_smtp::{
    Credentials, Endpoint, Outcome, Phase, Pool, PoolLimits, Security, Session, SmtpError, TimeLimits,
};
use postroom_testkit::{Action, FakeSmtp, Fault, Phase as At, TlsMode};
use socket2::{Domain, Socket, Type};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use crate::support::{PATIENCE, ada, long_limits, plain, proceed, receipt, send, starttls};

const SHORT: Duration = Duration::from_millis(150);

/// More than the buffers on both sides hold.
const LARGE: usize = 16_000_000;

/// Limits of which only this phase's is short.
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

/// Where the server stalls, and where the client finds that out.
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
async fn each_phase_has_its_limit_and_no_session_survives_it() {
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
    let sending = timeout(PATIENCE, two_mails(&pool, &message)).await.expect("it gives up in time");
    if at == At::Quit {
        sending.expect("both are accepted");
        timeout(PATIENCE, pool.close()).await.expect("nobody waits for a goodbye");
        return;
    }
    let error = sending.expect_err("stalled");
    assert_eq!((error.phase(), error.is_timeout()), (phase, true), "{at:?}: {error}");
    assert_eq!(error.is_in_doubt(), phase == Phase::Dot, "{at:?}: {error}");
    assert_eq!(pool.idle(), 0, "{at:?}: a session in the middle of something waits for the next mail");
    server.clear_faults();
    let mut session = pool.checkout().await.expect("a session");
    receipt(send(&mut session).await);
    assert_eq!(server.connections(), 2, "{at:?}");
}

async fn two_mails(pool: &Pool, message: &[u8]) -> Result<(), SmtpError> {
    for _ in 0..2 {
        let mut session = pool.checkout().await?;
        let delivery = session.send(&ada(), message, proceed()).await?;
        if let Outcome::InDoubt { error } = delivery.outcome {
            return Err(error);
        }
    }
    Ok(())
}

/// A listener whose queue is full: the kernel answers nobody.
async fn nobody_home() -> (Socket, u16, JoinSet<()>) {
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
async fn nobody_answers() {
    let (_socket, port, _waiting) = nobody_home().await;
    let endpoint = Endpoint { limits: short(Phase::Connect), ..Endpoint::new("127.0.0.1", port, Security::None) };
    let error = timeout(PATIENCE, Session::connect(&endpoint)).await.expect("it gives up").expect_err("nobody");
    assert_eq!((error.phase(), error.is_timeout(), error.nothing_sent()), (Phase::Connect, true, true), "{error}");
}

/// A reply that drips in is one reply: its limit is not for each byte.
#[tokio::test]
async fn a_reply_that_drips_has_one_limit() {
    let server = FakeSmtp::start().await;
    let slow = Action::reply(250, &"x".repeat(2_000)).byte_by_byte();
    server.fault(Fault::at(At::Mail, slow));
    let endpoint = Endpoint { limits: short(Phase::Mail), ..plain(&server) };
    let mut session = Session::connect(&endpoint).await.expect("a session");
    let error = send(&mut session).await.expect_err("too slow");
    assert_eq!((error.phase(), error.is_timeout()), (Phase::Mail, true), "{error}");
}

/// Bytes that come when nobody asked belong to no mail.
#[tokio::test]
async fn late_words_are_nobodys_reply() {
    for (phase, act) in [
        (At::Dot, Action::Usual.then_sends(Duration::ZERO, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n")),
        (At::Dot, Action::Usual.then_sends(SHORT, "421 4.4.2 idle\r\n")),
        (At::Idle, Action::reply_and_close(421, "4.4.2 idle")),
    ] {
        let server = FakeSmtp::start().await;
        server.fault(Fault::at(phase, act.clone()).times(1));
        let pool = Pool::new(plain(&server), PoolLimits::default());
        for _ in 0..2 {
            let mut session = pool.checkout().await.expect("a session");
            receipt(send(&mut session).await);
            drop(session);
            tokio::time::sleep(SHORT * 2).await;
        }
        assert_eq!((server.received_count(), server.connections()), (2, 2), "{act:?}");
    }
}

#[tokio::test]
async fn a_session_is_renewed_in_its_place() {
    let server = FakeSmtp::start().await;
    let pool = Pool::new(plain(&server), PoolLimits { connections: Some(1), ..PoolLimits::default() });
    receipt(send(&mut pool.checkout().await.expect("a session")).await);
    server.fault(Fault::at(At::Mail, Action::Close).times(1));
    let mut session = pool.checkout().await.expect("a session");
    assert_eq!(session.messages(), 1);
    let error = send(&mut session).await.expect_err("closed");
    assert!(error.is_closed() && error.nothing_sent(), "{error}");
    session.renew().await.expect("a new one");
    assert_eq!(session.messages(), 0);
    receipt(send(&mut session).await);
    drop(session);
    assert_eq!((pool.idle(), server.connections(), server.received_count()), (1, 2, 2));
}

//! Tests of limits of one connection: mails, errors, and connections themselves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use postroom_smtp::{Commit, Envelope, Phase, Pool, PoolLimits, SendOutcome, SendReport, SmtpError};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase as At, eventually};
use tokio::task::JoinSet;

use crate::support::{MESSAGE, TEST_TIMEOUT, connected, plain, receipt, send, to};

/// Sends as a transport does: once more over another connection if this one is spent.
async fn send_to(pool: &Pool, envelope: &Arc<Envelope>) -> Result<SendReport, SmtpError> {
    let begun = AtomicBool::new(false);
    let hook = || async {
        begun.store(true, SeqCst);
        Commit::Proceed
    };
    let mut session = pool.checkout_for(envelope, MESSAGE, false).await?;
    match session.send(envelope, MESSAGE, hook()).await {
        Ok(SendReport { outcome: SendOutcome::Spent { .. }, recipients }) if recipients.is_empty() => {
            assert!(!begun.load(SeqCst), "the mail has begun");
            let mut session = session.renew(envelope, MESSAGE, false).await?;
            session.send(envelope, MESSAGE, hook()).await
        }
        result => result,
    }
}

async fn send_one(pool: &Pool, address: &str) -> String {
    match send_to(pool, &Arc::new(to(&[address]))).await {
        Ok(SendReport { outcome: SendOutcome::Accepted { .. }, .. }) => "accepted".to_owned(),
        Ok(SendReport { outcome: SendOutcome::AllRefused, .. }) => "refused".to_owned(),
        other => format!("{other:?}"),
    }
}

fn pool(server: &FakeSmtp) -> Pool {
    Pool::new(plain(server), PoolLimits { connections: Some(1), ..PoolLimits::default() })
}

fn dead(server: &FakeSmtp, address: &str) {
    server.fault(Fault::at(At::Rcpt, Action::reply(550, "5.1.1 No such user")).recipient(address));
}

/// The server names its limit once; later connections end before it.
#[tokio::test]
async fn a_limit_of_mails_is_learned() {
    for pipelining in [true, false] {
        for refusal in [
            Action::reply(452, "4.5.3 Too many messages sent"),
            Action::reply_and_close(421, "4.7.0 Too many messages on this connection"),
            Action::reply_and_close(421, "too many messages in this connection"),
            Action::reply(450, "4.3.2 Too many transactions in this session"),
            Action::reply(550, "5.7.0 Maximum number of messages per session exceeded"),
        ] {
            let server = FakeSmtp::builder().pipelining(pipelining).message_limit(5, refusal.clone()).start().await;
            let pool = pool(&server);
            for _ in 0..23 {
                assert_eq!(send_one(&pool, "ada@example.net").await, "accepted", "{refusal:?}");
            }
            assert_eq!((server.received_count(), server.connections()), (23, 5), "{refusal:?}");
            let mails: usize = (1..=5)
                .map(|number| server.commands(number).iter().filter(|line| line.starts_with("MAIL")).count())
                .sum();
            assert_eq!(mails, 24, "one mail met the limit: {refusal:?}");
            assert!(server.violations().is_empty(), "{:?}", server.violations());
        }
    }
}

/// Three hundred dead addresses, then good ones, through one connection at a time.
#[tokio::test]
async fn a_limit_of_errors_delays_no_mail() {
    for pipelining in [true, false] {
        for (limit, refusal) in [
            (20, Action::reply_and_close(421, "4.7.0 mx.example Error: too many errors")),
            (10, Action::reply_and_close(421, "4.5.0 Too many errors")),
            (5, Action::reply(554, "Too many syntax or protocol errors")),
            (3, Action::reply_and_close(421, "4.7.0 Too many bad commands; closing connection")),
        ] {
            let server = FakeSmtp::builder().pipelining(pipelining).error_limit(limit, refusal.clone()).start().await;
            dead(&server, "gone@example.net");
            let pool = pool(&server);
            for number in 0..400 {
                // In the second half, every third address is dead.
                let is_dead = number < 200 || number % 3 == 0;
                let (address, expected) =
                    if is_dead { ("gone@example.net", "refused") } else { ("ada@example.net", "accepted") };
                assert_eq!(send_one(&pool, address).await, expected, "{refusal:?} {number}");
            }
            assert_eq!(server.received_count(), 133, "{refusal:?}");
            assert!(server.violations().is_empty(), "{:?}", server.violations());
        }
    }
}

/// The replies of a server are delayed after some errors, which no connection reaches.
#[tokio::test]
async fn a_connection_is_left_after_four_refused_mails_in_a_row() {
    let server = FakeSmtp::start().await;
    dead(&server, "gone@example.net");
    let pool = pool(&server);
    for number in 1..=12 {
        assert_eq!(send_one(&pool, "gone@example.net").await, "refused");
        assert_eq!(server.connections(), usize::div_ceil(number, 4));
    }
    for number in 0..30 {
        let address = if number % 4 == 0 { "ada@example.net" } else { "gone@example.net" };
        send_one(&pool, address).await;
    }
    assert_eq!(server.connections(), 4, "three refused in a row");
}

/// Results of the recipients before the limit stand, so that each attempt leaves fewer.
#[tokio::test]
async fn recipients_refused_before_the_limit_keep_their_result() {
    let refusal = Action::reply_and_close(421, "4.7.0 mx.example Error: too many errors");
    for pipelining in [true, false] {
        let server = FakeSmtp::builder().pipelining(pipelining).error_limit(3, refusal.clone()).start().await;
        let names: Vec<String> = (0..8).map(|number| format!("gone{number}@example.net")).collect();
        names.iter().for_each(|name| dead(&server, name));
        let pool = pool(&server);
        let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
        all.insert(4, "ada@example.net");
        let report = send_to(&pool, &Arc::new(to(&all))).await.expect("a report");
        let SendOutcome::Spent { phase: Phase::Rcpt, reply } = &report.outcome else { panic!("{report:?}") };
        assert_eq!(reply.code, 421);
        let refused: Vec<_> = report.refused().map(|(address, reply)| (address.to_string(), reply.code)).collect();
        let expected: Vec<_> = names[..3].iter().map(|name| (name.clone(), 550)).collect();
        assert_eq!(refused, expected);
        // The last reply ends the connection, but every recipient has its result.
        let dead_ones: Vec<&str> = names[3..6].iter().map(String::as_str).collect();
        let report = send_to(&pool, &Arc::new(to(&dead_ones))).await.expect("a report");
        assert!(matches!(report.outcome, SendOutcome::AllRefused), "{report:?}");
        assert_eq!(report.refused().count(), 3);
        assert_eq!(send_one(&pool, "ada@example.net").await, "accepted");
    }
}

/// A server that refuses the first mail of each new connection too limits the sender.
#[tokio::test]
async fn a_refused_first_mail_is_no_limit_of_its_connection() {
    let server = FakeSmtp::start().await;
    let pool = pool(&server);
    assert_eq!(send_one(&pool, "ada@example.net").await, "accepted");
    server.fault(Fault::at(At::Mail, Action::reply_and_close(421, "4.7.0 Try again later, closing connection")));
    let mut session = pool.checkout().await.expect("a session");
    let envelope = Arc::new(to(&["ada@example.net"]));
    let report = session.send(&envelope, MESSAGE, async { Commit::Proceed }).await.expect("spent");
    assert!(matches!(report.outcome, SendOutcome::Spent { phase: Phase::Mail, .. }), "{report:?}");
    let mut session = session.renew(&envelope, MESSAGE, false).await.expect("a new session");
    let error = session.send(&envelope, MESSAGE, async { Commit::Proceed }).await.expect_err("refused");
    assert_eq!(error.reply().map(|reply| reply.code), Some(421));
    // Used connections are then no better.
    drop(session);
    server.clear_faults();
    let mut session = pool.checkout().await.expect("a session");
    receipt(session.send(&envelope, MESSAGE, async { Commit::Proceed }).await);
    drop(session);
    server.fault(Fault::at(At::Mail, Action::reply_and_close(421, "4.7.0 Transmit rate limit exceeded")));
    let mut session = pool.checkout().await.expect("a session");
    let error = session.send(&envelope, MESSAGE, async { Commit::Proceed }).await.expect_err("a rate");
    assert_eq!(error.reply().map(|reply| reply.code), Some(421));
}

/// Sends as many mails at once and returns the outcomes that are not acceptances.
async fn send_at_once(pool: &Pool, number: usize) -> Vec<String> {
    let mut sending = JoinSet::new();
    for _ in 0..number {
        let pool = pool.clone();
        sending.spawn(async move { send_one(&pool, "ada@example.net").await });
    }
    sending.join_all().await.into_iter().filter(|outcome| outcome != "accepted").collect()
}

/// A further connection is refused in some way: no mail is, while others are open.
#[tokio::test]
async fn a_full_server_refuses_no_mail() {
    let too_many = Action::reply_and_close(421, "4.7.0 Too many connections");
    for (server, is_stated) in [
        (FakeSmtp::builder().max_connections(3), true),
        (FakeSmtp::builder().max_listening(3), false),
        (FakeSmtp::builder().connection_rate(3, Duration::from_secs(3600), too_many), true),
        (FakeSmtp::builder().connection_rate(3, Duration::from_secs(3600), Action::Close), false),
        (FakeSmtp::builder().connection_rate(3, Duration::from_secs(3600), Action::Reset), false),
        (
            FakeSmtp::builder().connection_rate(
                3,
                Duration::from_secs(3600),
                Action::reply_and_close(421, "4.3.2 Connection rate limit exceeded."),
            ),
            false,
        ),
    ] {
        let name = format!("{server:?}");
        let server = server.reply_delay(Duration::from_millis(2)).start().await;
        let pool = Pool::new(plain(&server), PoolLimits { connections: Some(10), ..PoolLimits::default() });
        receipt(send(&mut pool.checkout().await.expect("a session")).await);
        // More than the hundred mails after which a connection is otherwise closed.
        for _ in 0..4 {
            assert_eq!(send_at_once(&pool, 100).await, [""; 0], "{name}");
        }
        assert_eq!(server.received_count(), 401, "{name}");
        assert_eq!(pool.take_refusal(), is_stated, "{name}");
        assert!(!pool.take_refusal(), "it is news once");
        assert!((1..=3).contains(&pool.open_connections()), "{name}: {}", pool.open_connections());
    }
}

/// Without another connection a refusal is an error, at once.
#[tokio::test]
async fn a_refused_connection_is_an_error_while_none_is_open() {
    let server = FakeSmtp::builder().max_connections(0).start().await;
    let pool = Pool::new(plain(&server), PoolLimits::default());
    for _ in 0..3 {
        let error = pool.checkout().await.expect_err("refused");
        assert_eq!((error.phase(), error.lacks_room()), (Phase::Greeting, true));
    }
    let gone = FakeSmtp::start().await;
    let pool = Pool::new(plain(&gone), PoolLimits::default());
    let session = pool.checkout().await.expect("a session");
    gone.stop();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.checkout().await.map(drop) }
    });
    eventually(TEST_TIMEOUT, "the checkout waits or has failed", async || {
        (waiting.is_finished() || pool.idle() == 0).then_some(())
    })
    .await;
    drop(session);
    let error = waiting.await.expect("no panic").expect_err("the server is gone");
    assert_eq!(error.phase(), Phase::Connect);
}

/// A connection that cannot be replaced gives its mail to another.
#[tokio::test]
async fn a_mail_of_a_spent_connection_uses_another_if_no_new_one_is_accepted() {
    let full = Action::reply_and_close(421, "4.7.0 Too many connections");
    let server = FakeSmtp::builder()
        .message_limit(2, Action::reply(452, "4.5.3 Too many messages sent"))
        .connection_rate(2, Duration::from_secs(3600), full)
        .start()
        .await;
    let pool = Pool::new(plain(&server), PoolLimits::default());
    let mut one = pool.checkout().await.expect("a session");
    let other = pool.checkout().await.expect("a session");
    receipt(send(&mut one).await);
    receipt(send(&mut one).await);
    let envelope = Arc::new(to(&["ada@example.net"]));
    let report = one.send(&envelope, MESSAGE, async { Commit::Proceed }).await.expect("spent");
    assert!(matches!(report.outcome, SendOutcome::Spent { .. }), "{report:?}");
    let (session, ()) = tokio::join!(one.renew(&envelope, MESSAGE, false), async { drop(other) });
    receipt(send(&mut session.expect("the other session")).await);
    assert_eq!(server.received_count(), 3);
}

/// A server that leaves Nagle's algorithm on holds each reply of a flight back until the one before
/// is acknowledged: 40 ms, unless that is asked for. Ratios, since a busy machine slows both.
#[tokio::test]
async fn replies_of_a_server_with_nagles_algorithm_are_not_held_back() {
    let mut times = Vec::new();
    for server in [FakeSmtp::builder(), FakeSmtp::builder().nagle()] {
        let server = server.start().await;
        let mut session = connected(&server).await;
        // New connections are acknowledged at once by themselves.
        for _ in 0..20 {
            receipt(send(&mut session).await);
        }
        let start = Instant::now();
        for _ in 0..40 {
            receipt(send(&mut session).await);
        }
        times.push(start.elapsed());
    }
    assert!(times[1] < times[0] * 10, "{times:?}");
}

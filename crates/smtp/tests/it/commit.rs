//! Tests of the commit point: the hook before the final dot, and mails in doubt after it.

use std::{
    future::pending,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use postroom_smtp::{Commit, Endpoint, ErrorKind, Phase, SendOutcome, Session, SmtpError};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase as At, eventually};
use tokio::{sync::oneshot, time::timeout};

use crate::support::{MESSAGE, TEST_TIMEOUT, ada, connected, long_limits, plain, proceed, receipt, send};

const SHORT: Duration = Duration::from_millis(150);

#[tokio::test]
async fn the_hook_can_abort() {
    for pipelining in [true, false] {
        for message in [MESSAGE.to_vec(), MESSAGE.repeat(10_000)] {
            let server = FakeSmtp::builder().pipelining(pipelining).start().await;
            let mut session = connected(&server).await;
            let error = session.send(&ada(), &message, async { Commit::Abort }).await.expect_err("aborted");
            assert!(error.is_aborted() && error.nothing_sent() && !session.is_reusable(), "{error}");
            // A second mail shows that the server has finished with the first.
            receipt(send(&mut connected(&server).await).await);
            assert_eq!(server.received_count(), 1);
        }
    }
}

#[tokio::test]
async fn nothing_is_committed_before_the_hook_agrees() {
    for pipelining in [true, false] {
        let server = FakeSmtp::builder().pipelining(pipelining).start().await;
        let mut session = connected(&server).await;
        let (agree, agreed) = oneshot::channel();
        let runs = AtomicU32::new(0);
        let hook = async {
            runs.fetch_add(1, Ordering::Relaxed);
            agreed.await.expect("a decision")
        };
        let envelope = ada();
        let sending = session.send(&envelope, MESSAGE, hook);
        let watching = async {
            let has_data = async || server.commands(1).contains(&"DATA".to_owned()).then_some(());
            eventually(TEST_TIMEOUT, "DATA", has_data).await;
            tokio::time::sleep(SHORT).await;
            assert_eq!(server.received_count(), 0, "the mail was sent before the hook agreed");
            agree.send(Commit::Proceed).expect("the hook waits");
        };
        let (result, ()) = tokio::join!(sending, watching);
        receipt(result);
        assert_eq!((server.received_count(), runs.into_inner()), (1, 1));
    }
}

/// Size of a message whose hook runs after the upload.
const LARGE: usize = 1_000_000;

fn of_length(bytes: usize) -> Vec<u8> {
    MESSAGE.iter().copied().cycle().take(bytes / MESSAGE.len() * MESSAGE.len()).collect()
}

/// Number of times that the hook began while the server stalled in a phase.
async fn begun_while_stalled(pipelining: bool, fault: Fault, bytes: usize) -> u32 {
    let server = FakeSmtp::builder().pipelining(pipelining).start().await;
    server.fault(fault);
    let mut limits = long_limits();
    (limits.command, limits.data) = (SHORT, SHORT);
    let endpoint = Endpoint { limits, ..plain(&server) };
    let mut session = Session::connect(&endpoint).await.expect("a session");
    let begun = AtomicU32::new(0);
    let hook = async {
        begun.fetch_add(1, Ordering::Relaxed);
        pending().await
    };
    let (envelope, message) = (ada(), of_length(bytes));
    // A hook that has begun never ends.
    if let Ok(result) = timeout(TEST_TIMEOUT, session.send(&envelope, &message, hook)).await {
        let error = result.expect_err("stalled");
        assert!(error.is_timeout() && error.nothing_sent(), "{error}");
    }
    begun.into_inner()
}

#[tokio::test]
async fn the_hook_runs_while_354_is_awaited_but_not_during_an_upload() {
    let stalled = |at| Fault::at(at, Action::Stall);
    for pipelining in [true, false] {
        for (fault, bytes, begun) in [
            (stalled(At::Mail), 100, 0),
            (stalled(At::Rcpt), 100, 0),
            (stalled(At::Data), 100, 1),
            (stalled(At::Data), 64 * 1024, 1),
            (stalled(At::Data), 64 * 1024 + MESSAGE.len(), 0),
            (stalled(At::Body), LARGE, 0),
            (stalled(At::Body).byte(LARGE / 4), LARGE, 0),
        ] {
            let found = begun_while_stalled(pipelining, fault.clone(), bytes).await;
            assert_eq!(found, begun, "pipelining {pipelining}, {bytes} bytes, {fault:?}");
        }
    }
}

/// A server that replies or closes before the end of the message must not get the dot. This server
/// would accept it.
#[tokio::test]
async fn the_dot_is_not_sent_to_a_server_that_replied_early() {
    let closed = Action::reply_and_close(354, "go on");
    let early_reply = |pause| Action::Usual.then_sends(pause, "421 4.3.2 shutting down\r\n");
    for (action, code) in [(early_reply(Duration::ZERO), Some(421)), (early_reply(SHORT), Some(421)), (closed, None)] {
        let server = FakeSmtp::start().await;
        server.fault(Fault::at(At::Data, action.clone()));
        let mut session = connected(&server).await;
        let slow_hook = async {
            tokio::time::sleep(SHORT * 2).await;
            Commit::Proceed
        };
        let error = session.send(&ada(), MESSAGE, slow_hook).await.expect_err("interrupted");
        assert_eq!((error.phase(), error.reply().map(|reply| reply.code)), (Phase::Body, code), "{action:?}");
        assert!(error.nothing_sent() && error.is_closed() && !session.is_reusable(), "{error}");
        receipt(send(&mut connected_without_faults(&server).await).await);
        assert_eq!(server.received_count(), 1, "{action:?}");
    }
}

async fn connected_without_faults(server: &FakeSmtp) -> Session {
    server.clear_faults();
    connected(server).await
}

/// Sends a mail with this action of the server at its final dot.
async fn at_the_dot(server: &FakeSmtp, action: Action) -> (Session, Result<SendOutcome, SmtpError>) {
    server.fault(Fault::at(At::Dot, action));
    let mut limits = long_limits();
    limits.dot = SHORT;
    limits.dot_max = SHORT;
    let mut session = Session::connect(&Endpoint { limits, ..plain(server) }).await.expect("a session");
    let result = send(&mut session).await.map(|report| report.outcome);
    (session, result)
}

#[tokio::test]
async fn a_mail_without_a_reply_to_the_dot_is_in_doubt() {
    for (action, stored, timed_out) in [
        (Action::StoreThenClose, 1, false),
        (Action::StoreThenStall, 1, true),
        (Action::Close, 0, false),
        (Action::Reset, 0, false),
        (Action::Stall, 0, true),
        (Action::Raw(b"hello?\r\n".to_vec()), 0, false),
        (Action::Raw(b"354 again\r\n".to_vec()), 0, false),
        (Action::Raw(b"250 o".to_vec()), 0, true),
    ] {
        let server = FakeSmtp::start().await;
        let (session, result) = at_the_dot(&server, action.clone()).await;
        let Ok(SendOutcome::InDoubt { error }) = result else { panic!("{action:?}: {result:?}") };
        assert_eq!(error.phase(), Phase::Dot, "{action:?}");
        assert!(error.is_in_doubt() && !error.nothing_sent(), "{action:?}");
        assert_eq!(error.is_timeout(), timed_out, "{action:?}");
        assert!(!session.is_reusable(), "{action:?}");
        assert_eq!(server.received_count(), stored, "{action:?}");
    }
}

#[tokio::test]
async fn reply_421_to_the_dot_leaves_no_doubt() {
    let server = FakeSmtp::start().await;
    let (session, result) = at_the_dot(&server, Action::reply_and_close(421, "4.3.2 shutting down")).await;
    let error = result.expect_err("not accepted");
    assert_eq!((error.phase(), error.reply().map(|reply| reply.code)), (Phase::Dot, Some(421)));
    assert!(error.nothing_sent() && !session.is_reusable());
}

/// A relay replies to the dot, but the next server may have the mail.
#[tokio::test]
async fn a_relay_that_loses_the_next_server_leaves_the_mail_in_doubt() {
    for (code, text, in_doubt) in [
        (421, "4.4.0 Lost connection to relay server", true),
        (421, "4.4.1 Connection timed out", true),
        (421, "4.4.2 mx.example Error: timeout exceeded", true),
        (421, "lost connection with upstream", true),
        (451, "4.4.2 lost connection with mx.example while sending end of data", true),
        (450, "4.4.2 Remote server closed the connection", true),
        (421, "4.3.2 shutting down", false),
        (421, "4.7.0 Try again later", false),
        (421, "bye", false),
        (451, "4.4.2 Timeout waiting for data from client", false),
        (451, "4.4.1 No answer from host", false),
        (451, "4.3.0 relay has no disk space", false),
        (550, "5.4.2 lost connection", false),
    ] {
        let server = FakeSmtp::start().await;
        let (session, result) = at_the_dot(&server, Action::reply_and_close(code, text)).await;
        let is_in_doubt = matches!(&result, Ok(SendOutcome::InDoubt { error }) if error.is_in_doubt());
        assert_eq!(is_in_doubt, in_doubt, "{code} {text}: {result:?}");
        assert!(!(in_doubt && session.is_reusable()), "{code} {text}");
    }
}

#[tokio::test]
async fn a_session_with_unexpected_input_is_not_reused() {
    let server = FakeSmtp::start().await;
    let two = b"250 2.0.0 Ok\r\n421 4.3.2 bye\r\n".to_vec();
    let (session, result) = at_the_dot(&server, Action::Raw(two)).await;
    assert!(matches!(result, Ok(SendOutcome::Accepted { .. })), "{result:?}");
    assert!(!session.is_reusable());
}

#[tokio::test]
async fn a_dropped_send_leaves_the_session_unusable() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(At::Data, Action::Stall));
    let mut session = connected(&server).await;
    timeout(SHORT, send(&mut session)).await.expect_err("stalled");
    assert!(!session.is_reusable());
    let error = session.send(&ada(), MESSAGE, proceed()).await.expect_err("not reusable");
    assert!(matches!(error.kind(), ErrorKind::NotReusable), "{error}");
    session.quit().await;
    assert!(!server.commands(1).contains(&"QUIT".to_owned()), "no QUIT in the middle of a transaction");
}

//! Tests of envelopes pipelined with the previous message (RFC 2920 §3.1).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use postroom_smtp::{Commit, Pool, PoolLimits, SendOutcome, SendReport, SmtpError};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase as At, eventually};
use tokio::task::JoinSet;

use crate::support::{MESSAGE, TEST_TIMEOUT, plain, receipt, to};

fn one_connection(server: &FakeSmtp) -> Pool {
    Pool::new(plain(server), PoolLimits { connections: Some(1), ..PoolLimits::default() })
}

/// Sends as a transport does: retries once over a new connection if the server closed before the
/// hook began.
async fn send(pool: Pool, to_address: String, urgent: bool) -> Result<SendReport, SmtpError> {
    let (envelope, begun) = (Arc::new(to(&[&to_address])), AtomicBool::new(false));
    let hook = || async {
        begun.store(true, SeqCst);
        Commit::Proceed
    };
    let mut session = pool.checkout_for(&envelope, MESSAGE, urgent).await?;
    match session.send(&envelope, MESSAGE, hook()).await {
        Err(error) if error.is_closed() && !begun.load(SeqCst) => {
            let mut session = session.renew(&envelope, MESSAGE, urgent).await?;
            session.send(&envelope, MESSAGE, hook()).await
        }
        result => result,
    }
}

fn recipient(number: usize) -> String {
    format!("{number}@example.net")
}

/// Sends one mail, which shows that the connection is quick, and then the rest concurrently.
async fn send_all(pool: &Pool, number: usize) -> Vec<Result<SendReport, SmtpError>> {
    receipt(send(pool.clone(), recipient(0), false).await);
    let mut sending = JoinSet::new();
    for number in 1..number {
        sending.spawn(send(pool.clone(), recipient(number), false));
    }
    sending.join_all().await
}

/// Recipients of the received mails, in the order of arrival.
fn received(server: &FakeSmtp) -> Vec<String> {
    server.received().into_iter().map(|mail| mail.rcpt_to.join(" ")).collect()
}

#[tokio::test]
async fn the_next_envelope_is_pipelined_with_the_message() {
    let server = FakeSmtp::start().await;
    for result in send_all(&one_connection(&server), 20).await {
        receipt(result);
    }
    let mut all = received(&server);
    all.sort();
    all.dedup();
    assert_eq!((all.len(), server.received_count(), server.connections()), (20, 20, 1));
    // Not pipelined: the first, the one that found an idle connection, and the one sent while no
    // mail waited.
    assert!(server.ahead() >= 17, "{} of 20", server.ahead());
    assert!(server.violations().is_empty(), "{:?}", server.violations());
}

#[tokio::test]
async fn without_pipelining_no_envelope_is_sent_early() {
    let server = FakeSmtp::builder().pipelining(false).start().await;
    for result in send_all(&one_connection(&server), 10).await {
        receipt(result);
    }
    assert_eq!((server.received_count(), server.connections(), server.ahead()), (10, 1, 0));
    assert!(server.violations().is_empty(), "{:?}", server.violations());
}

/// Each mail gets its own outcome, independent of the mails before and after it.
#[tokio::test]
async fn outcomes_are_not_mixed_up() {
    for (at, reply, refused_at_rcpt) in [
        (At::Rcpt, Action::reply(550, "5.1.1 nobody"), true),
        (At::Dot, Action::reply(554, "5.6.0 no"), false),
        (At::Dot, Action::reply(451, "4.3.0 later"), false),
    ] {
        let server = FakeSmtp::start().await;
        for number in [3, 4, 9] {
            server.fault(Fault::at(at, reply.clone()).recipient(&recipient(number)));
        }
        let pool = one_connection(&server);
        receipt(send(pool.clone(), recipient(0), false).await);
        let mut sending = JoinSet::new();
        for number in 1..12 {
            let pool = pool.clone();
            sending.spawn(async move { (number, send(pool, recipient(number), false).await) });
        }
        for (number, result) in sending.join_all().await {
            let outcome = result.expect("an outcome").outcome;
            let expected = match (number, refused_at_rcpt) {
                (3 | 4 | 9, true) => matches!(outcome, SendOutcome::AllRefused),
                (3 | 4 | 9, false) => matches!(outcome, SendOutcome::Refused { .. }),
                _ => matches!(outcome, SendOutcome::Accepted { .. }),
            };
            assert!(expected, "{at:?} {number}: {outcome:?}");
        }
        assert_eq!(server.received_count(), 9, "{at:?}");
        assert!(server.ahead() > 0 && server.violations().is_empty(), "{:?}", server.violations());
    }
}

/// A mail whose envelope was pipelined when the connection ends was not sent. It is sent once over
/// another connection.
#[tokio::test]
async fn a_pipelined_mail_survives_the_end_of_its_connection() {
    for action in [Action::Close, Action::Reset, Action::StoreThenClose, Action::reply_and_close(421, "4.3.2 bye")] {
        let server = FakeSmtp::start().await;
        server.fault(Fault::at(At::Dot, action.clone()).recipient(&recipient(5)).times(1));
        let results = send_all(&one_connection(&server), 12).await;
        let stored = usize::from(matches!(action, Action::StoreThenClose));
        assert_eq!(server.received_count(), 11 + stored, "{action:?}");
        let accepted = results.iter().filter(|result| {
            result.as_ref().is_ok_and(|report| matches!(report.outcome, SendOutcome::Accepted { .. }))
        });
        assert_eq!(accepted.count(), 10, "{action:?}");
        assert!(server.violations().is_empty(), "{:?}", server.violations());
    }
}

/// After a server rejects a pipelined envelope, pipelining stops. No mail is lost.
#[tokio::test]
async fn pipelining_stops_after_a_server_rejects_it() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(At::Mail, Action::reply(503, "5.5.1 one at a time")).ahead());
    for result in send_all(&one_connection(&server), 12).await {
        receipt(result);
    }
    assert_eq!((server.received_count(), server.connections()), (12, 2));
    assert_eq!(server.ahead(), 1);
}

/// A mail is not bound to a slow server.
#[tokio::test]
async fn no_envelope_is_pipelined_on_a_slow_connection() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(At::Dot, Action::Delay(Duration::from_millis(1_100))).times(3));
    for result in send_all(&one_connection(&server), 3).await {
        receipt(result);
    }
    assert_eq!((server.received_count(), server.ahead()), (3, 0));
}

#[tokio::test]
async fn urgent_mails_are_sent_first_and_others_in_order() {
    let server = FakeSmtp::start().await;
    let pool = one_connection(&server);
    let held = pool.checkout().await.expect("a session");
    let mut sending = JoinSet::new();
    for (number, urgent) in [(1, false), (2, false), (3, true), (4, false), (5, true)] {
        sending.spawn(send(pool.clone(), recipient(number), urgent));
        tokio::task::yield_now().await;
    }
    drop(held);
    for result in sending.join_all().await {
        receipt(result);
    }
    assert_eq!(received(&server), [3, 5, 1, 2, 4].map(recipient));
}

/// A mail that is cancelled while its envelope is pipelined is not sent, and no other mail is sent
/// with that envelope.
#[tokio::test]
async fn a_cancelled_mail_is_not_sent() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(At::Dot, Action::Delay(Duration::from_millis(300))).recipient(&recipient(1)));
    let pool = one_connection(&server);
    receipt(send(pool.clone(), recipient(0), false).await);
    let begun = Arc::new(AtomicUsize::new(0));
    let first = tokio::spawn(send(pool.clone(), recipient(1), false));
    let second = tokio::spawn({
        let (pool, begun) = (pool.clone(), Arc::clone(&begun));
        async move {
            let envelope = Arc::new(to(&[&recipient(2)]));
            let mut session = pool.checkout_for(&envelope, MESSAGE, false).await?;
            let hook = async {
                begun.fetch_add(1, SeqCst);
                Commit::Proceed
            };
            session.send(&envelope, MESSAGE, hook).await
        }
    });
    eventually(TEST_TIMEOUT, "an envelope is pipelined", async || (server.ahead() == 1).then_some(())).await;
    second.abort();
    receipt(first.await.expect("it ends"));
    assert!(second.await.is_err_and(|error| error.is_cancelled()));
    receipt(send(pool.clone(), recipient(3), false).await);
    assert_eq!((received(&server), begun.load(SeqCst)), ([0, 1, 3].map(recipient).to_vec(), 0));
}

//! Envelopes that are said ahead, with the message of the mail before (RFC 2920, 3.1).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use postroom_smtp::{Commit, Delivery, Outcome, Pool, PoolLimits, SmtpError};
use postroom_testkit::{Action, FakeSmtp, Fault, Phase as At, eventually};
use tokio::task::JoinSet;

use crate::support::{MESSAGE, PATIENCE, plain, receipt, to};

fn one_connection(server: &FakeSmtp) -> Pool {
    Pool::new(plain(server), PoolLimits { connections: Some(1), ..PoolLimits::default() })
}

/// As a transport does: what a server ended before the hook began is said once more over a new connection.
async fn send(pool: Pool, recipient: String, urgent: bool) -> Result<Delivery, SmtpError> {
    let (envelope, begun) = (Arc::new(to(&[&recipient])), AtomicBool::new(false));
    let hook = || async {
        begun.store(true, SeqCst);
        Commit::Proceed
    };
    let mut session = pool.checkout_for(&envelope, MESSAGE, urgent).await?;
    match session.send(&envelope, MESSAGE, hook()).await {
        Err(error) if error.is_closed() && !begun.load(SeqCst) => {
            session.renew().await?;
            session.send(&envelope, MESSAGE, hook()).await
        }
        result => result,
    }
}

fn person(number: usize) -> String {
    format!("{number}@example.net")
}

/// Sends to so many at once, after one that makes the connection known as quick.
async fn send_all(pool: &Pool, number: usize) -> Vec<Result<Delivery, SmtpError>> {
    receipt(send(pool.clone(), person(0), false).await);
    let mut sending = JoinSet::new();
    for number in 1..number {
        sending.spawn(send(pool.clone(), person(number), false));
    }
    sending.join_all().await
}

/// Who got a mail, in the order of arrival.
fn received(server: &FakeSmtp) -> Vec<String> {
    server.received().into_iter().map(|mail| mail.rcpt_to.join(" ")).collect()
}

#[tokio::test]
async fn the_next_envelope_goes_with_this_message() {
    let server = FakeSmtp::start().await;
    for result in send_all(&one_connection(&server), 20).await {
        receipt(result);
    }
    let mut all = received(&server);
    all.sort();
    all.dedup();
    assert_eq!((all.len(), server.received_count(), server.connections()), (20, 20, 1));
    // All but the first, the one that found the connection idle, and the one that was sent while nobody waited yet.
    assert!(server.ahead() >= 17, "{} of 20", server.ahead());
    assert!(server.violations().is_empty(), "{:?}", server.violations());
}

#[tokio::test]
async fn without_pipelining_each_waits_for_its_turn() {
    let server = FakeSmtp::builder().pipelining(false).start().await;
    for result in send_all(&one_connection(&server), 10).await {
        receipt(result);
    }
    assert_eq!((server.received_count(), server.connections(), server.ahead()), (10, 1, 0));
    assert!(server.violations().is_empty(), "{:?}", server.violations());
}

/// Each mail gets the verdict that was said on it, whatever became of those before and after.
#[tokio::test]
async fn verdicts_are_not_mixed_up() {
    for (at, reply, refused_at_rcpt) in [
        (At::Rcpt, Action::reply(550, "5.1.1 nobody"), true),
        (At::Dot, Action::reply(554, "5.6.0 no"), false),
        (At::Dot, Action::reply(451, "4.3.0 later"), false),
    ] {
        let server = FakeSmtp::start().await;
        for number in [3, 4, 9] {
            server.fault(Fault::at(at, reply.clone()).recipient(&person(number)));
        }
        let pool = one_connection(&server);
        receipt(send(pool.clone(), person(0), false).await);
        let mut sending = JoinSet::new();
        for number in 1..12 {
            let pool = pool.clone();
            sending.spawn(async move { (number, send(pool, person(number), false).await) });
        }
        for (number, result) in sending.join_all().await {
            let outcome = result.expect("a verdict").outcome;
            let expected = match (number, refused_at_rcpt) {
                (3 | 4 | 9, true) => matches!(outcome, Outcome::AllRefused),
                (3 | 4 | 9, false) => matches!(outcome, Outcome::Refused { .. }),
                _ => matches!(outcome, Outcome::Accepted { .. }),
            };
            assert!(expected, "{at:?} {number}: {outcome:?}");
        }
        assert_eq!(server.received_count(), 9, "{at:?}");
        assert!(server.ahead() > 0 && server.violations().is_empty(), "{:?}", server.violations());
    }
}

/// A connection that ends with somebody on board: nothing was sent for them, and they go on by another one, once.
#[tokio::test]
async fn who_was_taken_along_gets_off_a_connection_that_ends() {
    for action in [Action::Close, Action::Reset, Action::StoreThenClose, Action::reply_and_close(421, "4.3.2 bye")] {
        let server = FakeSmtp::start().await;
        server.fault(Fault::at(At::Dot, action.clone()).recipient(&person(5)).times(1));
        let results = send_all(&one_connection(&server), 12).await;
        let stored = usize::from(matches!(action, Action::StoreThenClose));
        assert_eq!(server.received_count(), 11 + stored, "{action:?}");
        let accepted = results.iter().filter(|result| {
            result.as_ref().is_ok_and(|delivery| matches!(delivery.outcome, Outcome::Accepted { .. }))
        });
        assert_eq!(accepted.count(), 10, "{action:?}");
        assert!(server.violations().is_empty(), "{:?}", server.violations());
    }
}

/// A server that loses step is spared from then on; nothing is lost by it.
#[tokio::test]
async fn a_server_that_loses_step_is_left_alone() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(At::Mail, Action::reply(503, "5.5.1 one at a time")).ahead());
    for result in send_all(&one_connection(&server), 12).await {
        receipt(result);
    }
    assert_eq!((server.received_count(), server.connections()), (12, 2));
    assert_eq!(server.ahead(), 1);
}

/// Nobody is bound to a server that takes its time.
#[tokio::test]
async fn nothing_is_said_ahead_on_a_slow_connection() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(At::Dot, Action::Delay(Duration::from_millis(1_100))).times(3));
    for result in send_all(&one_connection(&server), 3).await {
        receipt(result);
    }
    assert_eq!((server.received_count(), server.ahead()), (3, 0));
}

#[tokio::test]
async fn urgent_mail_goes_first_and_the_others_in_their_order() {
    let server = FakeSmtp::start().await;
    let pool = one_connection(&server);
    let held = pool.checkout().await.expect("a session");
    let mut sending = JoinSet::new();
    for (number, urgent) in [(1, false), (2, false), (3, true), (4, false), (5, true)] {
        sending.spawn(send(pool.clone(), person(number), urgent));
        tokio::task::yield_now().await;
    }
    drop(held);
    for result in sending.join_all().await {
        receipt(result);
    }
    assert_eq!(received(&server), [3, 5, 1, 2, 4].map(person));
}

/// Who gives up while its envelope is on its way is not sent, and nobody else is sent in its place.
#[tokio::test]
async fn who_gives_up_is_not_sent() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(At::Dot, Action::Delay(Duration::from_millis(300))).recipient(&person(1)));
    let pool = one_connection(&server);
    receipt(send(pool.clone(), person(0), false).await);
    let begun = Arc::new(AtomicUsize::new(0));
    let first = tokio::spawn(send(pool.clone(), person(1), false));
    let second = tokio::spawn({
        let (pool, begun) = (pool.clone(), Arc::clone(&begun));
        async move {
            let envelope = Arc::new(to(&[&person(2)]));
            let mut session = pool.checkout_for(&envelope, MESSAGE, false).await?;
            let hook = async {
                begun.fetch_add(1, SeqCst);
                Commit::Proceed
            };
            session.send(&envelope, MESSAGE, hook).await
        }
    });
    eventually(PATIENCE, "an envelope is said ahead", async || (server.ahead() == 1).then_some(())).await;
    second.abort();
    receipt(first.await.expect("it ends"));
    assert!(second.await.is_err_and(|error| error.is_cancelled()));
    receipt(send(pool.clone(), person(3), false).await);
    assert_eq!((received(&server), begun.load(SeqCst)), ([0, 1, 3].map(person).to_vec(), 0));
}

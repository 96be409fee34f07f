//! Sessions kept for the next mail.

use std::time::Duration;

use postroom_smtp::{Pool, PoolLimits};
use postroom_testkit::{Action, FakeSmtp, Fault, Phase as At, eventually};

use crate::support::{PATIENCE, plain, receipt, send};

fn pool(server: &FakeSmtp, limits: PoolLimits) -> Pool {
    Pool::new(plain(server), limits)
}

async fn send_one(pool: &Pool) {
    let mut session = pool.checkout().await.expect("a session");
    receipt(send(&mut session).await);
}

/// QUIT is said in the background.
async fn goodbye(server: &FakeSmtp, connection: usize) {
    let said = async || (server.commands(connection).last()? == "QUIT").then_some(());
    eventually(PATIENCE, "QUIT", said).await;
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = FakeSmtp::start().await;
    let pool = pool(&server, PoolLimits::default());
    for _ in 0..5 {
        send_one(&pool).await;
    }
    assert_eq!((server.connections(), pool.idle()), (1, 1));
    pool.close().await;
    assert_eq!(pool.idle(), 0);
    goodbye(&server, 1).await;
}

#[tokio::test]
async fn a_connection_has_a_last_mail() {
    let server = FakeSmtp::start().await;
    let pool = pool(&server, PoolLimits { messages: 2, ..PoolLimits::default() });
    for _ in 0..5 {
        send_one(&pool).await;
    }
    assert_eq!(server.connections(), 3);
    goodbye(&server, 1).await;
    goodbye(&server, 2).await;
}

#[tokio::test]
async fn old_and_idle_connections_are_retired() {
    let server = FakeSmtp::start().await;
    let short = Duration::from_millis(50);
    for limits in
        [PoolLimits { age: short, ..PoolLimits::default() }, PoolLimits { idle: short, ..PoolLimits::default() }]
    {
        let pool = pool(&server, limits);
        send_one(&pool).await;
        let gone = async || {
            pool.retire_old();
            (pool.idle() == 0).then_some(())
        };
        eventually(PATIENCE, "the session is retired", gone).await;
        goodbye(&server, server.connections()).await;
    }
}

#[tokio::test]
async fn a_broken_connection_does_not_come_back() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(At::Mail, Action::reply_and_close(421, "4.3.2 bye")).times(1));
    let pool = pool(&server, PoolLimits::default());
    let mut session = pool.checkout().await.expect("a session");
    send(&mut session).await.expect_err("closed");
    drop(session);
    assert_eq!(pool.idle(), 0);
    send_one(&pool).await;
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_not_handed_out() {
    let server = FakeSmtp::start().await;
    let pool = pool(&server, PoolLimits::default());
    for _ in 0..3 {
        send_one(&pool).await;
        server.stop();
        server.start_again();
    }
    assert_eq!((server.received_count(), server.connections()), (3, 3));
}

#[tokio::test]
async fn no_more_connections_than_allowed() {
    let server = FakeSmtp::builder().reply_delay(Duration::from_millis(5)).start().await;
    let pool = pool(&server, PoolLimits { connections: Some(2), ..PoolLimits::default() });
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let pool = pool.clone();
        sending.spawn(async move { send_one(&pool).await });
    }
    sending.join_all().await;
    assert_eq!(server.received_count(), 12);
    assert_eq!((server.connections(), server.peak_connections()), (2, 2));
    assert!(server.violations().is_empty(), "{:?}", server.violations());
}

#[tokio::test]
async fn a_failed_connect_gives_its_place_back() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(At::Banner, Action::reply(554, "no")).times(1));
    let pool = pool(&server, PoolLimits { connections: Some(1), ..PoolLimits::default() });
    pool.checkout().await.expect_err("refused");
    send_one(&pool).await;
}

/// A connection counts until the server has seen its end: one more before that would be one too many.
#[tokio::test]
async fn a_new_connection_waits_for_the_goodbye_of_the_old() {
    let server = FakeSmtp::builder().reply_delay(Duration::from_millis(5)).max_connections(1).start().await;
    let pool = pool(&server, PoolLimits { messages: 1, connections: Some(1), ..PoolLimits::default() });
    for _ in 0..5 {
        send_one(&pool).await;
    }
    assert_eq!((server.received_count(), server.connections(), server.peak_connections()), (5, 5, 1));
}

#[tokio::test]
async fn fewer_may_be_allowed_later() {
    let server = FakeSmtp::start().await;
    let pool = pool(&server, PoolLimits::default());
    let [one, other] = [pool.checkout().await.expect("a session"), pool.checkout().await.expect("a session")];
    pool.allow(1);
    assert_eq!(pool.standing(), 2);
    drop(one);
    postroom_testkit::eventually(Duration::from_secs(10), "one less", async || (pool.standing() == 1).then_some(()))
        .await;
    drop(other);
    assert_eq!((pool.idle(), pool.standing()), (1, 1));
    pool.allow(0);
    pool.shrink();
    postroom_testkit::eventually(Duration::from_secs(10), "none left", async || (pool.standing() == 0).then_some(()))
        .await;
}

#[tokio::test]
async fn a_connection_that_was_refused_is_not_tried_again_before_more_is_known() {
    let server = FakeSmtp::builder().max_connections(1).start().await;
    let pool = pool(&server, PoolLimits::default());
    pool.allow(3);
    let one = pool.checkout().await.expect("a session");
    let refused = pool.checkout().await.expect_err("one too many");
    assert_eq!(refused.reply().map(|reply| reply.code), Some(421), "{refused}");
    let (waiting, ()) = tokio::join!(pool.checkout(), async { drop(one) });
    drop(waiting.expect("the session that came back"));
    assert_eq!(server.connections(), 2);
    let one = pool.checkout().await.expect("a session");
    pool.allow(2);
    pool.checkout().await.expect_err("one too many still");
    assert_eq!(server.connections(), 3);
    drop(one);
}

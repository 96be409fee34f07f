//! Tests of the connection pool.

use std::time::Duration;

use postroom_smtp::{Pool, PoolLimits};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase as At, eventually};

use crate::support::{TEST_TIMEOUT, plain, receipt, send};

fn pool(server: &FakeSmtp, limits: PoolLimits) -> Pool {
    Pool::new(plain(server), limits)
}

async fn send_one(pool: &Pool) {
    let mut session = pool.checkout().await.expect("a session");
    receipt(send(&mut session).await);
}

/// Waits for QUIT, which is sent in the background.
async fn await_quit(server: &FakeSmtp, connection: usize) {
    let has_quit = async || (server.commands(connection).last()? == "QUIT").then_some(());
    eventually(TEST_TIMEOUT, "QUIT", has_quit).await;
}

#[tokio::test]
async fn a_connection_is_reused() {
    let server = FakeSmtp::start().await;
    let pool = pool(&server, PoolLimits::default());
    for _ in 0..5 {
        send_one(&pool).await;
    }
    assert_eq!((server.connections(), pool.idle()), (1, 1));
    pool.close().await;
    assert_eq!(pool.idle(), 0);
    await_quit(&server, 1).await;
}

#[tokio::test]
async fn a_connection_is_closed_after_its_maximum_of_mails() {
    let server = FakeSmtp::start().await;
    let pool = pool(&server, PoolLimits { messages: 2, ..PoolLimits::default() });
    for _ in 0..5 {
        send_one(&pool).await;
    }
    assert_eq!(server.connections(), 3);
    await_quit(&server, 1).await;
    await_quit(&server, 2).await;
}

#[tokio::test]
async fn old_and_idle_connections_are_closed() {
    let server = FakeSmtp::start().await;
    let short = Duration::from_millis(50);
    for limits in
        [PoolLimits { age: short, ..PoolLimits::default() }, PoolLimits { idle: short, ..PoolLimits::default() }]
    {
        let pool = pool(&server, limits);
        send_one(&pool).await;
        let gone = async || {
            pool.close_expired();
            (pool.idle() == 0).then_some(())
        };
        eventually(TEST_TIMEOUT, "the session is closed", gone).await;
        await_quit(&server, server.connections()).await;
    }
}

#[tokio::test]
async fn a_broken_connection_does_not_return_to_the_pool() {
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
async fn a_connection_closed_by_the_server_is_not_checked_out() {
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
async fn the_maximum_number_of_connections_is_respected() {
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
async fn a_failed_connect_releases_its_permit() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(At::Banner, Action::reply(554, "no")).times(1));
    let pool = pool(&server, PoolLimits { connections: Some(1), ..PoolLimits::default() });
    pool.checkout().await.expect_err("refused");
    send_one(&pool).await;
}

/// A connection counts until the server has closed it too. A new one before that exceeds the
/// maximum.
#[tokio::test]
async fn a_new_connection_waits_for_the_end_of_the_old_one() {
    let server = FakeSmtp::builder().reply_delay(Duration::from_millis(5)).max_connections(1).start().await;
    let pool = pool(&server, PoolLimits { messages: 1, connections: Some(1), ..PoolLimits::default() });
    for _ in 0..5 {
        send_one(&pool).await;
    }
    assert_eq!((server.received_count(), server.connections(), server.peak_connections()), (5, 5, 1));
}

#[tokio::test]
async fn the_maximum_can_be_lowered() {
    let server = FakeSmtp::start().await;
    let pool = pool(&server, PoolLimits::default());
    let [one, other] = [pool.checkout().await.expect("a session"), pool.checkout().await.expect("a session")];
    pool.set_max_connections(1);
    assert_eq!(pool.open_connections(), 2);
    drop(one);
    postroom_testkit::eventually(Duration::from_secs(10), "one connection is closed", async || {
        (pool.open_connections() == 1).then_some(())
    })
    .await;
    drop(other);
    assert_eq!((pool.idle(), pool.open_connections()), (1, 1));
    pool.set_max_connections(0);
    pool.shrink();
    postroom_testkit::eventually(Duration::from_secs(10), "all connections are closed", async || {
        (pool.open_connections() == 0).then_some(())
    })
    .await;
}

/// While a connection is open, a mail waits for it if the server refuses another. No other is tried
/// for a while.
#[tokio::test]
async fn a_refused_connection_leaves_the_open_ones_in_use() {
    let server = FakeSmtp::builder().max_connections(1).start().await;
    let pool = pool(&server, PoolLimits::default());
    for _ in 0..3 {
        let one = pool.checkout().await.expect("a session");
        let (waiting, ()) = tokio::join!(pool.checkout(), async { drop(one) });
        drop(waiting.expect("the returned session"));
    }
    assert!(server.connections() <= 2, "{}", server.connections());
}

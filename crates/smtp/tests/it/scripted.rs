//! What only a server that looks at single packets can see.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use postroom_smtp::{Commit, Endpoint, Outcome, Phase, Security, Session};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::support::{MESSAGE, PATIENCE, ada, proceed, to};

/// A listener, and an endpoint that leads to it.
async fn listener() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, Endpoint::new("127.0.0.1", port, Security::None))
}

/// Greets and offers PIPELINING.
async fn greeted(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    say(&mut stream, "220 mx\r\n").await;
    assert!(packet(&mut stream).await.starts_with("EHLO "));
    say(&mut stream, "250-mx\r\n250 PIPELINING\r\n").await;
    stream
}

async fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("a client that reads");
}

/// What has arrived when the client has written once and waits.
async fn packet(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 1 << 20];
    let count = stream.read(&mut bytes).await.expect("a packet");
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

const ENVELOPE: &str =
    "MAIL FROM:<shop@example.org>\r\nRCPT TO:<ada@example.net>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n";

#[tokio::test]
async fn one_write_a_flight() {
    let (listener, endpoint) = listener().await;
    let server = async {
        let mut stream = greeted(&listener).await;
        let flight = packet(&mut stream).await;
        assert_eq!(flight, ENVELOPE);
        say(&mut stream, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n").await;
        let flight = packet(&mut stream).await;
        assert_eq!(flight, "Subject: hello\r\n\r\nHello\r\n.\r\n");
        say(&mut stream, "250 ok\r\n").await;
    };
    let client = async {
        let mut session = Session::connect(&endpoint).await.expect("a session");
        let envelope = to(&["ada@example.net", "bob@example.net"]);
        session.send(&envelope, MESSAGE, proceed()).await.expect("a judgement")
    };
    let ((), delivery) = tokio::join!(server, client);
    assert!(matches!(delivery.outcome, Outcome::Accepted { .. }));
}

#[tokio::test]
async fn a_large_message_is_there_before_the_hook_runs_and_its_dot_comes_after_it() {
    let (listener, endpoint) = listener().await;
    let message = MESSAGE.repeat(800_000);
    let hook_runs = AtomicBool::new(false);
    let (answer, answered) = oneshot::channel();
    // What the kernels may hold: the hook can run when so much has not been read yet.
    let under_way = message.len() - 12_000_000;
    let server = async {
        let mut stream = greeted(&listener).await;
        packet(&mut stream).await;
        say(&mut stream, "250 ok\r\n250 ok\r\n354 go\r\n").await;
        let mut text = vec![0; under_way];
        stream.read_exact(&mut text).await.expect("most of the message");
        assert!(!hook_runs.load(Ordering::Relaxed), "the hook ran during the upload");
        text.resize(message.len(), 0);
        stream.read_exact(&mut text[under_way..]).await.expect("the rest of the message");
        sleep(Duration::from_millis(50)).await;
        assert!(hook_runs.load(Ordering::Relaxed), "all is there, and the hook does not run");
        answer.send(()).expect("the hook waits");
        assert_eq!(packet(&mut stream).await, ".\r\n");
        say(&mut stream, "250 ok\r\n").await;
    };
    let client = async {
        let mut session = Session::connect(&endpoint).await.expect("a session");
        let hook = async {
            hook_runs.store(true, Ordering::Relaxed);
            answered.await.expect("an answer");
            Commit::Proceed
        };
        session.send(&ada(), &message, hook).await.expect("a judgement")
    };
    let ((), delivery) = timeout(PATIENCE, async { tokio::join!(server, client) }).await.expect("no deadlock");
    assert!(matches!(delivery.outcome, Outcome::Accepted { .. }));
}

#[tokio::test]
async fn a_server_that_refuses_while_the_message_is_written_is_heard() {
    let (listener, endpoint) = listener().await;
    let message = MESSAGE.repeat(400_000);
    let server = async {
        let mut stream = greeted(&listener).await;
        packet(&mut stream).await;
        say(&mut stream, "250 ok\r\n250 ok\r\n354 go\r\n").await;
        let mut some = vec![0; 100_000];
        stream.read_exact(&mut some).await.expect("the message begins");
        say(&mut stream, "421 4.3.1 out of disk\r\n").await;
        stream.shutdown().await.expect("an open connection");
        // Reads no more, so that the client's write can only end with the connection.
        sleep(Duration::from_millis(50)).await;
    };
    let client = async {
        let mut session = Session::connect(&endpoint).await.expect("a session");
        session.send(&ada(), &message, proceed()).await.expect_err("refused")
    };
    let ((), error) = tokio::join!(server, client);
    assert!(error.nothing_sent(), "{error}");
    assert_eq!(error.reply().map(|reply| reply.code), Some(421), "{error}");
}

#[tokio::test]
async fn no_empty_message_to_somebody() {
    let (listener, endpoint) = listener().await;
    let server = async {
        let mut stream = greeted(&listener).await;
        packet(&mut stream).await;
        say(&mut stream, "550 no\r\n250 ok\r\n354 go\r\n").await;
        packet(&mut stream).await
    };
    let client = async {
        let mut session = Session::connect(&endpoint).await.expect("a session");
        session.send(&ada(), MESSAGE, proceed()).await.expect_err("a mad server")
    };
    let (rest, error) = tokio::join!(server, client);
    assert_eq!((error.phase(), error.nothing_sent()), (Phase::Data, true), "{error}");
    assert_eq!(rest, "", "the connection was closed, and nothing said before");
}

//! Tests against a scripted server that checks single packets.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use postroom_smtp::{
    Commit, ConnectionSecurity, Credentials, Endpoint, ErrorKind, Phase, SendOutcome, Session, SmtpError,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::support::{MESSAGE, TEST_TIMEOUT, ada, proceed, to};

/// Opens a listener and creates an endpoint for it.
async fn listener() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, Endpoint::new("127.0.0.1", port, ConnectionSecurity::None))
}

/// Accepts a connection, sends the greeting and offers PIPELINING.
async fn accept(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    write(&mut stream, "220 mx\r\n").await;
    assert!(packet(&mut stream).await.starts_with("EHLO "));
    write(&mut stream, "250-mx\r\n250 PIPELINING\r\n").await;
    stream
}

async fn write(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("a client that reads");
}

/// Reads the bytes of one write of the client.
async fn packet(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 1 << 20];
    let count = stream.read(&mut bytes).await.expect("a packet");
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

const ENVELOPE: &str =
    "MAIL FROM:<shop@example.org>\r\nRCPT TO:<ada@example.net>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n";

#[tokio::test]
async fn pipelined_commands_are_sent_in_one_write() {
    let (listener, endpoint) = listener().await;
    let server = async {
        let mut stream = accept(&listener).await;
        let flight = packet(&mut stream).await;
        assert_eq!(flight, ENVELOPE);
        write(&mut stream, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n").await;
        let flight = packet(&mut stream).await;
        assert_eq!(flight, "Subject: hello\r\n\r\nHello\r\n.\r\n");
        write(&mut stream, "250 ok\r\n").await;
    };
    let client = async {
        let mut session = Session::connect(&endpoint).await.expect("a session");
        let envelope = to(&["ada@example.net", "bob@example.net"]);
        session.send(&envelope, MESSAGE, proceed()).await.expect("a result")
    };
    let ((), report) = tokio::join!(server, client);
    assert!(matches!(report.outcome, SendOutcome::Accepted { .. }));
}

#[tokio::test]
async fn the_hook_runs_after_a_large_message_and_before_its_dot() {
    let (listener, endpoint) = listener().await;
    let message = MESSAGE.repeat(800_000);
    let hook_runs = AtomicBool::new(false);
    let (release, released) = oneshot::channel();
    // Up to 12 MB may be in kernel buffers when the hook runs.
    let unread = message.len() - 12_000_000;
    let server = async {
        let mut stream = accept(&listener).await;
        packet(&mut stream).await;
        write(&mut stream, "250 ok\r\n250 ok\r\n354 go\r\n").await;
        let mut text = vec![0; unread];
        stream.read_exact(&mut text).await.expect("most of the message");
        assert!(!hook_runs.load(Ordering::Relaxed), "the hook runs during the upload");
        text.resize(message.len(), 0);
        stream.read_exact(&mut text[unread..]).await.expect("the rest of the message");
        sleep(Duration::from_millis(50)).await;
        assert!(hook_runs.load(Ordering::Relaxed), "the message has arrived, but the hook does not run");
        release.send(()).expect("the hook waits");
        assert_eq!(packet(&mut stream).await, ".\r\n");
        write(&mut stream, "250 ok\r\n").await;
    };
    let client = async {
        let mut session = Session::connect(&endpoint).await.expect("a session");
        let hook = async {
            hook_runs.store(true, Ordering::Relaxed);
            released.await.expect("a release");
            Commit::Proceed
        };
        session.send(&ada(), &message, hook).await.expect("a result")
    };
    let ((), report) = timeout(TEST_TIMEOUT, async { tokio::join!(server, client) }).await.expect("no deadlock");
    assert!(matches!(report.outcome, SendOutcome::Accepted { .. }));
}

#[tokio::test]
async fn a_refusal_during_the_message_is_reported() {
    let (listener, endpoint) = listener().await;
    let message = MESSAGE.repeat(400_000);
    let server = async {
        let mut stream = accept(&listener).await;
        packet(&mut stream).await;
        write(&mut stream, "250 ok\r\n250 ok\r\n354 go\r\n").await;
        let mut some = vec![0; 100_000];
        stream.read_exact(&mut some).await.expect("the message begins");
        write(&mut stream, "421 4.3.1 out of disk\r\n").await;
        stream.shutdown().await.expect("an open connection");
        // The server stops reading, so that the write of the client ends only with the connection.
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
async fn an_empty_message_is_never_sent_to_an_accepted_recipient() {
    let (listener, endpoint) = listener().await;
    let server = async {
        let mut stream = accept(&listener).await;
        packet(&mut stream).await;
        write(&mut stream, "550 no\r\n250 ok\r\n354 go\r\n").await;
        packet(&mut stream).await
    };
    let client = async {
        let mut session = Session::connect(&endpoint).await.expect("a session");
        session.send(&ada(), MESSAGE, proceed()).await.expect_err("contradictory replies")
    };
    let (rest, error) = tokio::join!(server, client);
    assert_eq!((error.phase(), error.nothing_sent()), (Phase::Data, true), "{error}");
    assert_eq!(rest, "", "the connection is closed without another command");
}

const PASSWORD: &str = "correct horse";

/// Logs in at a server that sends these replies from AUTH on. Returns the result and the lines from
/// the client.
async fn log_in(mechanism: &str, replies: &[&str]) -> (Result<Session, SmtpError>, Vec<String>) {
    let (listener, endpoint) = listener().await;
    let endpoint = Endpoint { credentials: Some(Credentials::new("ada", PASSWORD)), ..endpoint };
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        write(&mut stream, "220 mx\r\n").await;
        packet(&mut stream).await;
        write(&mut stream, &format!("250-mx\r\n250 AUTH {mechanism}\r\n")).await;
        let mut lines = vec![packet(&mut stream).await];
        for reply in replies {
            write(&mut stream, &format!("{reply}\r\n")).await;
            lines.push(packet(&mut stream).await);
        }
        lines
    };
    let client = async {
        match Session::connect(&endpoint).await {
            Ok(session) => {
                session.quit().await;
                Session::connect(&Endpoint::new("127.0.0.1", 1, ConnectionSecurity::None)).await
            }
            Err(error) => Err(error),
        }
    };
    let (lines, result) = timeout(TEST_TIMEOUT, async { tokio::join!(server, client) }).await.expect("no hang");
    (result, lines)
}

/// Response of AUTH PLAIN.
fn response() -> String {
    format!("{}\r\n", STANDARD.encode(format!("\0ada\0{PASSWORD}")))
}

/// Some servers request the response of AUTH PLAIN although the command contained it (RFC 4954 §4).
#[tokio::test]
async fn the_response_of_auth_plain_is_repeated_once() {
    let command = format!("AUTH PLAIN {}", response());
    let (_, lines) = log_in("PLAIN", &["334 ", "235 2.7.0 welcome"]).await;
    assert_eq!(lines, [&command, &response(), "QUIT\r\n"]);
    let (result, lines) = log_in("PLAIN", &["334 ", "334 "]).await;
    assert_eq!(lines, [&command, &response(), ""], "the connection is closed");
    let error = result.expect_err("no login");
    assert!(matches!(error.kind(), ErrorKind::Unexpected(_)) && error.phase() == Phase::Auth, "{error}");
}

#[tokio::test]
async fn an_unexpected_reply_to_auth_fails_the_login() {
    for (mechanism, replies) in [
        ("PLAIN", &["354 go on"][..]),
        ("PLAIN", &["300 what"]),
        ("LOGIN", &["235 welcome"]),
        ("LOGIN", &["250 ok"]),
        ("LOGIN", &["334 VXNlcm5hbWU6", "235 welcome"]),
        ("LOGIN", &["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "334 more"]),
        ("LOGIN", &["354 go on"]),
    ] {
        let (result, lines) = log_in(mechanism, replies).await;
        let error = result.expect_err("no login");
        assert!(matches!(error.kind(), ErrorKind::Unexpected(_)), "{replies:?}: {error}");
        assert_eq!((error.phase(), error.nothing_sent()), (Phase::Auth, true), "{replies:?}: {error}");
        assert_eq!(lines.last().map(String::as_str), Some(""), "{replies:?}: the connection is closed");
    }
}

#[tokio::test]
async fn echoed_credentials_are_masked() {
    let encoded = STANDARD.encode(PASSWORD);
    for (mechanism, replies) in [
        ("PLAIN", vec![format!("535 5.7.8 not for AUTH PLAIN {}", response().trim_end())]),
        ("PLAIN", vec![format!("535-5.7.8 not for ada\r\n535 5.7.8 with {PASSWORD}")]),
        ("PLAIN", vec![format!("AUTH PLAIN {}", response().trim_end())]),
        ("PLAIN", vec![format!("334 {}", response().trim_end()), format!("435 not {PASSWORD}")]),
        ("LOGIN", vec!["334 user".to_owned(), "334 password".to_owned(), format!("500 {encoded} is no command")]),
        ("LOGIN", vec!["334 user".to_owned(), "334 password".to_owned(), format!("354 {encoded}")]),
    ] {
        let replies: Vec<&str> = replies.iter().map(String::as_str).collect();
        let (result, _) = log_in(mechanism, &replies).await;
        let error = result.expect_err("no login");
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(text.contains("***"), "{text}");
            for secret in [PASSWORD, &encoded[..encoded.len() - 1], &response()[..12]] {
                assert!(!text.contains(secret), "{secret}: {text}");
            }
        }
    }
}

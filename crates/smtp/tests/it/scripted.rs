//! What only a server that looks at single packets can see.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use postroom_smtp::{Commit, Credentials, Endpoint, Outcome, Phase, Security, Session, SmtpError, Trouble};
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

const PASSWORD: &str = "correct horse";

/// A login at a server that answers the lines of it, from AUTH on, by these.
async fn log_in(mechanism: &str, answers: &[&str]) -> (Result<Session, SmtpError>, Vec<String>) {
    let (listener, endpoint) = listener().await;
    let endpoint = Endpoint { credentials: Some(Credentials::new("ada", PASSWORD)), ..endpoint };
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        say(&mut stream, "220 mx\r\n").await;
        packet(&mut stream).await;
        say(&mut stream, &format!("250-mx\r\n250 AUTH {mechanism}\r\n")).await;
        let mut said = vec![packet(&mut stream).await];
        for answer in answers {
            say(&mut stream, &format!("{answer}\r\n")).await;
            said.push(packet(&mut stream).await);
        }
        said
    };
    let client = async {
        match Session::connect(&endpoint).await {
            Ok(session) => {
                session.quit().await;
                Session::connect(&Endpoint::new("127.0.0.1", 1, Security::None)).await
            }
            Err(error) => Err(error),
        }
    };
    let (said, result) = timeout(PATIENCE, async { tokio::join!(server, client) }).await.expect("no hang");
    (result, said)
}

/// What the client said after each answer, until it was logged in.
fn response() -> String {
    format!("{}\r\n", STANDARD.encode(format!("\0ada\0{PASSWORD}")))
}

/// Some servers ask for the response of AUTH PLAIN though it came with the command (RFC 4954 §4).
#[tokio::test]
async fn the_response_of_a_login_is_sent_again_once() {
    let command = format!("AUTH PLAIN {}", response());
    let (_, said) = log_in("PLAIN", &["334 ", "235 2.7.0 welcome"]).await;
    assert_eq!(said, [&command, &response(), "QUIT\r\n"]);
    let (result, said) = log_in("PLAIN", &["334 ", "334 "]).await;
    assert_eq!(said, [&command, &response(), ""], "the connection is closed");
    let error = result.expect_err("no login");
    assert!(matches!(error.trouble(), Trouble::Unexpected(_)) && error.phase() == Phase::Auth, "{error}");
}

#[tokio::test]
async fn a_reply_that_is_neither_yes_nor_no_is_no_login() {
    for (mechanism, answers) in [
        ("PLAIN", &["354 go on"][..]),
        ("PLAIN", &["300 what"]),
        ("LOGIN", &["235 welcome"]),
        ("LOGIN", &["250 ok"]),
        ("LOGIN", &["334 VXNlcm5hbWU6", "235 welcome"]),
        ("LOGIN", &["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "334 more"]),
        ("LOGIN", &["354 go on"]),
    ] {
        let (result, said) = log_in(mechanism, answers).await;
        let error = result.expect_err("no login");
        assert!(matches!(error.trouble(), Trouble::Unexpected(_)), "{answers:?}: {error}");
        assert_eq!((error.phase(), error.nothing_sent()), (Phase::Auth, true), "{answers:?}: {error}");
        assert_eq!(said.last().map(String::as_str), Some(""), "{answers:?}: the connection is closed");
    }
}

#[tokio::test]
async fn what_a_server_echoes_of_a_login_is_masked() {
    let encoded = STANDARD.encode(PASSWORD);
    for (mechanism, answers) in [
        ("PLAIN", vec![format!("535 5.7.8 not for AUTH PLAIN {}", response().trim_end())]),
        ("PLAIN", vec![format!("535-5.7.8 not for ada\r\n535 5.7.8 with {PASSWORD}")]),
        ("PLAIN", vec![format!("AUTH PLAIN {}", response().trim_end())]),
        ("PLAIN", vec![format!("334 {}", response().trim_end()), format!("435 not {PASSWORD}")]),
        ("LOGIN", vec!["334 user".to_owned(), "334 password".to_owned(), format!("500 {encoded} is no command")]),
        ("LOGIN", vec!["334 user".to_owned(), "334 password".to_owned(), format!("354 {encoded}")]),
    ] {
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        let (result, _) = log_in(mechanism, &answers).await;
        let error = result.expect_err("no login");
        for told in [error.to_string(), format!("{error:?}")] {
            assert!(told.contains("***"), "{told}");
            for secret in [PASSWORD, &encoded[..encoded.len() - 1], &response()[..12]] {
                assert!(!told.contains(secret), "{secret}: {told}");
            }
        }
    }
}

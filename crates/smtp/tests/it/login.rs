//! Logins that need another mechanism or another connection.

use postroom_smtp::{Credentials, Endpoint, ErrorKind, Phase, Session, SmtpError};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, tcp::OwnedReadHalf},
    time::timeout,
};

use crate::support::TEST_TIMEOUT;

/// Replies from AUTH on, one list for each connection. An empty reply closes the connection.
type LoginScript = &'static [&'static [&'static str]];

/// Name, offered mechanisms, script, result of the login, and the AUTH commands of all connections.
type LoginCase = (&'static str, &'static str, LoginScript, Result<(), &'static str>, &'static [&'static str]);

const PLAIN: &str = "AUTH PLAIN";
const LOGIN: &str = "AUTH LOGIN";

const CASES: &[LoginCase] = &[
    ("PLAIN works", "PLAIN LOGIN", &[&["235 ok"]], Ok(()), &[PLAIN]),
    (
        "PLAIN is offered and refused",
        "PLAIN LOGIN",
        &[&["504 5.5.4 Unrecognized authentication type", "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok"]],
        Ok(()),
        &[PLAIN, LOGIN],
    ),
    (
        "PLAIN is refused as wrong",
        "PLAIN LOGIN",
        &[&["535 5.7.8 no", "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok"]],
        Ok(()),
        &[PLAIN, LOGIN],
    ),
    (
        "the server closes after a refusal",
        "PLAIN LOGIN",
        &[&["534 5.7.9 no", ""], &["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok"]],
        Ok(()),
        &[PLAIN, LOGIN, LOGIN],
    ),
    (
        "the server closes instead of a reply",
        "PLAIN LOGIN",
        &[&[""], &["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok"]],
        Ok(()),
        &[PLAIN, LOGIN],
    ),
    (
        "a challenge is answered, and refused",
        "PLAIN LOGIN",
        &[&["334 ", "535 no", "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok"]],
        Ok(()),
        &[PLAIN, LOGIN],
    ),
    (
        "both are refused: the words about the credentials count",
        "PLAIN LOGIN",
        &[&["504 5.5.4 what", "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "535 5.7.8 wrong password"]],
        Err("535 5.7.8 wrong password"),
        &[PLAIN, LOGIN],
    ),
    (
        "both are refused: the first words about the credentials count",
        "PLAIN LOGIN",
        &[&["535 5.7.139 disabled for the tenant", "504 5.7.4 Unrecognized"]],
        Err("535 5.7.139 disabled for the tenant"),
        &[PLAIN, LOGIN],
    ),
    ("a temporary refusal ends the login", "PLAIN LOGIN", &[&["454 4.7.0 later"]], Err("454 4.7.0 later"), &[PLAIN]),
    ("one mechanism only", "PLAIN XOAUTH2", &[&["535 5.7.8 no"]], Err("535 5.7.8 no"), &[PLAIN]),
    ("closed twice", "PLAIN LOGIN", &[&[""], &[""]], Err("closed"), &[PLAIN, LOGIN]),
];

async fn line(reader: &mut BufReader<OwnedReadHalf>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).await.expect("a line");
    line
}

/// Serves the connections of a script; returns the AUTH commands without their responses.
async fn serve(listener: &TcpListener, mechanisms: &str, script: LoginScript) -> Vec<String> {
    let mut commands = Vec::new();
    for replies in script {
        let (stream, _) = listener.accept().await.expect("a connection");
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        writer.write_all(b"220 mx\r\n").await.expect("written");
        line(&mut reader).await;
        writer.write_all(format!("250-mx\r\n250 AUTH {mechanisms}\r\n").as_bytes()).await.expect("written");
        for reply in *replies {
            let command = line(&mut reader).await;
            if command.starts_with("AUTH") {
                commands.push(command.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
            }
            if reply.is_empty() {
                break;
            }
            writer.write_all(format!("{reply}\r\n").as_bytes()).await.expect("written");
        }
    }
    commands
}

async fn log_in(endpoint: &Endpoint) -> Result<(), SmtpError> {
    Session::connect(endpoint).await.map(drop)
}

#[tokio::test]
async fn mechanisms_are_tried_in_turn() {
    for (name, mechanisms, script, expected, commands) in CASES {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let mut endpoint = Endpoint::new("127.0.0.1", port, postroom_smtp::ConnectionSecurity::None);
        endpoint.credentials = Some(Credentials::new("ada", "correct horse"));
        let both = async { tokio::join!(serve(&listener, mechanisms, script), log_in(&endpoint)) };
        let (seen, result) = timeout(TEST_TIMEOUT, both).await.unwrap_or_else(|_| panic!("{name}: hangs"));
        match (expected, result) {
            (Ok(()), Ok(())) => {}
            (Err(words), Err(error)) => {
                assert!(error.to_string().contains(words) && error.phase() == Phase::Auth, "{name}: {error}");
            }
            (_, result) => panic!("{name}: {result:?}"),
        }
        assert_eq!(seen, *commands, "{name}");
    }
}

/// After a login with LOGIN, the next connection does not try PLAIN again.
#[tokio::test]
async fn the_mechanism_that_works_is_remembered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut endpoint = Endpoint::new("127.0.0.1", port, postroom_smtp::ConnectionSecurity::None);
    endpoint.credentials = Some(Credentials::new("ada", "correct horse"));
    let script: LoginScript = &[
        &["535 no", "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok"],
        &["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok"],
    ];
    let client = async {
        log_in(&endpoint).await.expect("a session");
        log_in(&endpoint).await.expect("a session");
    };
    let (seen, ()) = tokio::join!(serve(&listener, "PLAIN LOGIN", script), client);
    assert_eq!(seen, [PLAIN, LOGIN, LOGIN]);
}

#[tokio::test]
async fn a_server_without_a_common_mechanism_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut endpoint = Endpoint::new("127.0.0.1", port, postroom_smtp::ConnectionSecurity::None);
    endpoint.credentials = Some(Credentials::new("ada", "x"));
    let (_, result) = tokio::join!(serve(&listener, "CRAM-MD5 XOAUTH2", &[&[]]), log_in(&endpoint));
    assert!(matches!(result.expect_err("no login").kind(), ErrorKind::AuthMissing));
}

//! Tests of the opening of a session: greeting, EHLO, TLS, AUTH.

use std::net::TcpListener;

use postroom_smtp::{
    ConnectionSecurity, Credentials, Endpoint, ErrorKind, HelloName, Phase, Session, SmtpError, TlsClient, TlsFailure,
    TlsOptions,
};
use postroom_testkit::{Action, CertificateKind, FakeSmtp, Fault, FaultPhase as At, TlsMode};

use crate::support::{connected, implicit_tls, plain, receipt, send, starttls};

async fn refused(endpoint: &Endpoint) -> SmtpError {
    Session::connect(endpoint).await.expect_err("no session")
}

fn with_login(endpoint: Endpoint, secret: &str) -> Endpoint {
    Endpoint { credentials: Some(Credentials::new("ada", secret)), ..endpoint }
}

#[tokio::test]
async fn capabilities_are_read_from_ehlo() {
    for builder in [FakeSmtp::builder(), FakeSmtp::builder().lower_case()] {
        let server = builder.size(1000).start().await;
        let session = connected(&server).await;
        let offered = session.capabilities();
        assert!(offered.pipelining && offered.eight_bit_mime && offered.smtputf8 && offered.size, "{offered:?}");
        assert!(!offered.starttls && !offered.auth_plain && !offered.auth_login, "{offered:?}");
        assert_eq!(offered.max_size, Some(1000));
    }
}

#[tokio::test]
async fn helo_is_used_if_the_server_does_not_know_ehlo() {
    let server = FakeSmtp::builder().pipelining(false).start().await;
    server.fault(Fault::at(At::Ehlo, Action::reply(502, "5.5.1 what?")).times(1));
    let mut endpoint = plain(&server);
    endpoint.hello_name = HelloName::parse("shop.example.org").expect("a name");
    let mut session = Session::connect(&endpoint).await.expect("a session");
    receipt(send(&mut session).await);
    let commands = server.commands(1);
    assert_eq!(commands[..2], ["EHLO shop.example.org", "HELO shop.example.org"]);
    assert_eq!(commands[2], "MAIL FROM:<shop@example.org>", "no extension is used");
    assert!(server.violations().is_empty(), "{:?}", server.violations());
}

#[tokio::test]
async fn a_closed_port_is_a_connect_error() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
    let error = refused(&Endpoint::new("127.0.0.1", port, ConnectionSecurity::None)).await;
    assert_eq!(error.phase(), Phase::Connect);
    assert!(error.nothing_sent());
}

#[tokio::test]
async fn a_refusal_in_the_greeting_is_reported() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(At::Banner, Action::reply(554, "5.3.2 no mail here")));
    let error = refused(&plain(&server)).await;
    assert_eq!(error.phase(), Phase::Greeting);
    assert_eq!(error.reply().map(ToString::to_string).as_deref(), Some("554 5.3.2 no mail here"));
    assert_eq!(error.to_string(), "greeting: the server replied 554 5.3.2 no mail here");
}

#[tokio::test]
async fn starttls_protects_the_login_and_the_mail() {
    let server = FakeSmtp::builder().tls(TlsMode::StartTlsRequired).auth("ada", "secret").start().await;
    let mut session = Session::connect(&with_login(starttls(&server), "secret")).await.expect("a session");
    assert!(session.is_encrypted());
    assert!(!session.capabilities().starttls, "capabilities from before TLS are discarded");
    receipt(send(&mut session).await);
    let mail = &server.received()[0];
    assert!(mail.tls);
    assert_eq!(mail.auth_user.as_deref(), Some("ada"));
    assert_eq!(server.commands(1)[..3], ["EHLO localhost", "STARTTLS", "EHLO localhost"]);
}

#[tokio::test]
async fn required_starttls_fails_closed() {
    let server = FakeSmtp::builder().auth("ada", "secret").start().await;
    let error = refused(&with_login(starttls(&server), "secret")).await;
    assert_eq!(error.phase(), Phase::StartTls);
    assert!(matches!(error.kind(), ErrorKind::StartTlsMissing), "{error}");
    assert_eq!(server.commands(1), ["EHLO localhost"], "no AUTH, no MAIL");
}

#[tokio::test]
async fn starttls_refused_fails_closed() {
    let server = FakeSmtp::builder().tls(TlsMode::StartTls).start().await;
    server.fault(Fault::at(At::StartTls, Action::reply(454, "4.7.0 not now")));
    let error = refused(&starttls(&server)).await;
    assert_eq!((error.phase(), error.reply().map(|reply| reply.code)), (Phase::StartTls, Some(454)));
    assert_eq!(server.commands(1), ["EHLO localhost", "STARTTLS"]);
}

#[tokio::test]
async fn plain_text_injected_after_starttls_is_rejected() {
    let server = FakeSmtp::builder().tls(TlsMode::StartTls).start().await;
    let injected = b"220 go ahead\r\n250-mx\r\n250 PIPELINING\r\n".to_vec();
    server.fault(Fault::at(At::StartTls, Action::Raw(injected)));
    let error = refused(&starttls(&server)).await;
    assert_eq!(error.phase(), Phase::StartTls);
    assert!(matches!(error.kind(), ErrorKind::PlainAfterStartTls), "{error}");
}

#[tokio::test]
async fn implicit_tls_protects_the_connection() {
    let server = FakeSmtp::builder().tls(TlsMode::Implicit).start().await;
    let mut session = Session::connect(&implicit_tls(&server)).await.expect("a session");
    receipt(send(&mut session).await);
    receipt(send(&mut session).await);
    assert!(server.received()[0].tls);
    session.quit().await;
    assert!(server.violations().is_empty(), "{:?}", server.violations());
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused_unless_accepted_explicitly() {
    for mode in [TlsMode::Implicit, TlsMode::StartTls] {
        let server = FakeSmtp::builder().tls(mode).start().await;
        let security =
            if mode == TlsMode::Implicit { ConnectionSecurity::ImplicitTls } else { ConnectionSecurity::StartTls };
        for accept_invalid_certs in [false, true] {
            let options = TlsOptions { extra_ca_pem: None, accept_invalid_certs };
            let security = security(TlsClient::new(&options).expect("a client"));
            let result = Session::connect(&Endpoint { security, ..plain(&server) }).await;
            if accept_invalid_certs {
                assert!(result.expect("a session").is_encrypted());
            } else {
                assert_eq!(result.expect_err("refused").phase(), Phase::Tls);
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let server = FakeSmtp::builder().tls(TlsMode::Implicit).certificate_name("mail.example.org").start().await;
    let error = refused(&implicit_tls(&server)).await;
    assert_eq!(error.phase(), Phase::Tls);
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn the_login_uses_an_offered_mechanism() {
    for (mechanisms, first) in [
        (&["PLAIN", "LOGIN"][..], "AUTH PLAIN AGFkYQDFvMOzxYLEhw=="),
        (&["login"], "AUTH LOGIN"),
        (&["CRAM-MD5", "PLAIN"], "AUTH PLAIN AGFkYQDFvMOzxYLEhw=="),
    ] {
        let server = FakeSmtp::builder().auth("ada", "żółć").auth_mechanisms(mechanisms).start().await;
        let session = Session::connect(&with_login(plain(&server), "żółć")).await.expect("a session");
        session.quit().await;
        let commands = server.commands(1);
        assert_eq!(commands[1], first, "{mechanisms:?}");
        assert_eq!(commands.last().map(String::as_str), Some("QUIT"));
        assert!(server.violations().is_empty(), "{:?}", server.violations());
    }
}

#[tokio::test]
async fn a_refused_login_and_a_missing_mechanism_are_errors() {
    for mechanisms in [&["PLAIN"][..], &["LOGIN"]] {
        let server = FakeSmtp::builder().auth("ada", "secret").auth_mechanisms(mechanisms).start().await;
        let error = refused(&with_login(plain(&server), "wrong")).await;
        assert_eq!((error.phase(), error.reply().map(|reply| reply.code)), (Phase::Auth, Some(535)));
        assert!(!error.to_string().contains("wrong") || error.to_string().contains("Wrong user"), "{error}");
    }
    for builder in [FakeSmtp::builder(), FakeSmtp::builder().auth("ada", "x").auth_mechanisms(&["CRAM-MD5"])] {
        let server = builder.start().await;
        let error = refused(&with_login(plain(&server), "x")).await;
        assert!(matches!(error.kind(), ErrorKind::AuthMissing), "{error}");
        assert_eq!(server.commands(1), ["EHLO localhost"]);
    }
}

/// `openssl req -x509` and `openssl x509 -req` make such certificates.
#[tokio::test]
async fn a_certificate_signed_by_itself_is_trusted_if_the_file_contains_it() {
    for kind in [CertificateKind::OfItself, CertificateKind::Version1] {
        for name in ["127.0.0.1", "mail.example.org"] {
            for only_tls12 in [false, true] {
                let builder = FakeSmtp::builder().tls(TlsMode::Implicit).certificate_kind(kind).certificate_name(name);
                let server = if only_tls12 { builder.only_tls12() } else { builder }.start().await;
                let mut session = Session::connect(&implicit_tls(&server)).await.expect("a session");
                receipt(send(&mut session).await);
                let other = FakeSmtp::builder().tls(TlsMode::Implicit).start().await;
                let trusts_other = Endpoint { security: implicit_tls(&other).security, ..plain(&server) };
                let error = refused(&trusts_other).await;
                assert_eq!(error.tls_failure(), Some(TlsFailure::UnknownIssuer), "{kind:?} {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_failed_handshake_has_its_reason() {
    let server = FakeSmtp::builder().start().await;
    let plain_server = Endpoint {
        security: ConnectionSecurity::ImplicitTls(TlsClient::new(&TlsOptions::default()).expect("a client")),
        ..plain(&server)
    };
    assert_eq!(refused(&plain_server).await.tls_failure(), Some(TlsFailure::NotTls));
    let named = FakeSmtp::builder().tls(TlsMode::Implicit).certificate_name("mail.example.org").start().await;
    assert_eq!(refused(&implicit_tls(&named)).await.tls_failure(), Some(TlsFailure::WrongName));
    assert_eq!(refused(&Endpoint { port: 1, ..plain(&server) }).await.tls_failure(), None);
}

//! `postroom doctor` against wrong set-ups: each result names its cure.

use postroom_testkit::{Action, CertificateKind, FakeSmtp, Fault, FaultPhase, TlsMode, smtp::FakeSmtpBuilder};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::fixture::Fixture;

/// No Redis is needed to check a transport.
const NO_REDIS: &str = "redis://127.0.0.1:1/0";

/// Returns the line of doctor about the transport.
async fn checked(settings: &[(&str, &str)]) -> String {
    let fixture = settings.iter().fold(Fixture::at(NO_REDIS), |fixture, (name, value)| fixture.with(name, value));
    let ran = tokio::task::spawn_blocking(move || fixture.run(&["doctor"])).await.expect("doctor runs");
    let line = ran.stdout.lines().find(|line| line.contains(" transport default: "));
    line.unwrap_or_else(|| panic!("no result: {ran:?}")).to_owned()
}

async fn names_its_cure(name: &str, settings: &[(&str, &str)], cure: &[&str]) {
    let line = checked(settings).await;
    assert!(line.starts_with("FAIL"), "{name}: {line}");
    for words in cure {
        assert!(line.contains(words), "{name}: {words}: {line}");
    }
}

struct WrongSetUp {
    name: &'static str,
    server: FakeSmtpBuilder,
    fault: Option<Fault>,
    security: &'static str,
    login: bool,
    trusted: bool,
    cure: &'static [&'static str],
}

impl WrongSetUp {
    fn new(name: &'static str, server: FakeSmtpBuilder, security: &'static str, cure: &'static [&'static str]) -> Self {
        Self { name, server, fault: None, security, login: false, trusted: true, cure }
    }

    fn fault(self, phase: FaultPhase, code: u16, reply: &str) -> Self {
        Self { fault: Some(Fault::at(phase, Action::reply(code, reply))), ..self }
    }

    fn login(self) -> Self {
        Self { login: true, ..self }
    }

    fn untrusted(self) -> Self {
        Self { trusted: false, ..self }
    }

    async fn check(self) {
        let server = self.server.start().await;
        if let Some(fault) = self.fault {
            server.fault(fault);
        }
        let (host, port) = (server.host(), server.port().to_string());
        let folder = tempfile::tempdir().expect("a folder");
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, server.ca_pem()).expect("a file");
        let mut settings =
            vec![("SMTP_HOST", host.as_str()), ("SMTP_PORT", port.as_str()), ("SMTP_SECURITY", self.security)];
        if self.login {
            settings.extend([("SMTP_USERNAME", "ada"), ("SMTP_PASSWORD", "secret")]);
        }
        if self.trusted {
            settings.push(("SMTP_CA_FILE", ca_file.to_str().expect("UTF-8")));
        }
        names_its_cure(self.name, &settings, self.cure).await;
    }
}

fn server() -> FakeSmtpBuilder {
    FakeSmtp::builder()
}

#[tokio::test]
async fn wrong_encryption_names_the_one_that_works() {
    for case in [
        WrongSetUp::new("TLS at a plain port", server(), "tls", &["SMTP_SECURITY=none", "private network"]),
        WrongSetUp::new(
            "TLS at a STARTTLS port",
            server().tls(TlsMode::StartTls),
            "tls",
            &["with SMTP_SECURITY=starttls"],
        ),
        WrongSetUp::new("plain at a TLS port", server().tls(TlsMode::Implicit), "none", &["with SMTP_SECURITY=tls"]),
        WrongSetUp::new(
            "STARTTLS at a TLS port",
            server().tls(TlsMode::Implicit),
            "starttls",
            &["with SMTP_SECURITY=tls"],
        ),
        WrongSetUp::new("STARTTLS is missing", server(), "starttls", &["STARTTLS", "SMTP_SECURITY=none"]),
        WrongSetUp::new(
            "plain at a TLS port, with a private authority",
            server().tls(TlsMode::Implicit),
            "none",
            &["with SMTP_SECURITY=tls"],
        )
        .untrusted(),
    ] {
        case.check().await;
    }
}

#[tokio::test]
async fn a_refused_certificate_names_what_makes_it_trusted() {
    for case in [
        WrongSetUp::new("unknown issuer", server().tls(TlsMode::Implicit), "tls", &["SMTP_CA_FILE"]).untrusted(),
        WrongSetUp::new("unknown issuer", server().tls(TlsMode::StartTls), "starttls", &["SMTP_CA_FILE"]).untrusted(),
        WrongSetUp::new(
            "signed by itself",
            server().tls(TlsMode::Implicit).certificate_kind(CertificateKind::OfItself),
            "tls",
            &["SMTP_CA_FILE", "own certificate"],
        )
        .untrusted(),
        WrongSetUp::new(
            "version 1",
            server().tls(TlsMode::Implicit).certificate_kind(CertificateKind::Version1),
            "tls",
            &["SMTP_CA_FILE", "own certificate"],
        )
        .untrusted(),
        WrongSetUp::new(
            "another name",
            server().tls(TlsMode::Implicit).certificate_name("mail.example.org"),
            "tls",
            &["SMTP_HOST", "name in the certificate"],
        ),
    ] {
        case.check().await;
    }
}

#[tokio::test]
async fn a_refused_login_or_greeting_names_the_next_step() {
    let auth = || server().auth("ada", "secret");
    for case in [
        WrongSetUp::new("no AUTH", server(), "none", &["leave out SMTP_USERNAME"]).login(),
        WrongSetUp::new("a wrong password", server().auth("ada", "other"), "none", &["535", "check SMTP_USERNAME"])
            .login(),
        WrongSetUp::new("no common mechanism", auth().auth_mechanisms(&["XOAUTH2"]), "none", &["leave out"]).login(),
        WrongSetUp::new("app password", auth(), "none", &["534", "app password"]).login().fault(
            FaultPhase::Auth,
            534,
            "5.7.9 Application-specific password required",
        ),
        WrongSetUp::new("disabled for the tenant", auth(), "none", &["enable authenticated SMTP"]).login().fault(
            FaultPhase::Auth,
            535,
            "5.7.139 SmtpClientAuthentication is disabled for the Tenant.",
        ),
        WrongSetUp::new("account suspended", auth(), "none", &["state of the account"]).login().fault(
            FaultPhase::Auth,
            535,
            "5.7.8 account suspended",
        ),
        WrongSetUp::new("HELO refused", server(), "none", &["SMTP_HELLO_NAME"]).fault(
            FaultPhase::Ehlo,
            550,
            "5.7.1 HELO should be a FQDN",
        ),
        WrongSetUp::new("no PTR record", server(), "none", &["PTR record"]).fault(
            FaultPhase::Banner,
            554,
            "5.7.1 Bad DNS PTR resource record.",
        ),
        WrongSetUp::new("blocked", server(), "none", &["removal"]).fault(
            FaultPhase::Banner,
            554,
            "5.7.1 blocked using zen.spamhaus.org",
        ),
    ] {
        case.check().await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_names_what_to_check() {
    names_its_cure(
        "refused",
        &[("SMTP_HOST", "127.0.0.1"), ("SMTP_PORT", "1"), ("SMTP_SECURITY", "none")],
        &["no program accepts connections", "SMTP_PORT"],
    )
    .await;
    names_its_cure("no such name", &[("SMTP_HOST", "mail.invalid")], &["check the name in SMTP_HOST"]).await;
    // Each listener sends these bytes and reads nothing.
    for (name, security, bytes, cure) in [
        ("old TLS", "tls", &b"\x15\x03\x01\x00\x02\x02\x46"[..], "TLS 1.2 or 1.3"),
        ("SSH", "none", b"SSH-2.0-OpenSSH_9.9\r\n", "not a mail server"),
        ("HTTP", "none", b"HTTP/1.1 400 Bad Request\r\n\r\n", "not a mail server"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port().to_string();
        let serving = tokio::spawn(async move {
            loop {
                let (mut tcp, _) = listener.accept().await.expect("a connection");
                // Keeps the connection until the client closes it.
                let _ = tcp.write_all(bytes).await;
                tokio::spawn(async move { tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await });
            }
        });
        let settings = [("SMTP_HOST", "127.0.0.1"), ("SMTP_PORT", port.as_str()), ("SMTP_SECURITY", security)];
        names_its_cure(name, &settings, &[cure]).await;
        serving.abort();
    }
}

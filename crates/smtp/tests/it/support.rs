//! Helpers shared by the tests of this crate.

use std::time::Duration;

use postroom_smtp::{
    Address, Commit, ConnectionSecurity, Endpoint, Envelope, SendOutcome, SendReport, Session, SmtpError, TimeLimits,
    TlsClient, TlsOptions,
};
use postroom_testkit::FakeSmtp;

pub(crate) const MESSAGE: &[u8] = b"Subject: hello\r\n\r\nHello\r\n";

/// Maximum time that a test waits for an expected event.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) fn plain(server: &FakeSmtp) -> Endpoint {
    Endpoint::new(server.host(), server.port(), ConnectionSecurity::None)
}

/// TLS client that trusts the certificate authority of this server.
pub(crate) fn trusting(server: &FakeSmtp) -> TlsClient {
    TlsClient::new(&TlsOptions { extra_ca_pem: Some(server.ca_pem().as_bytes().to_vec()), accept_invalid_certs: false })
        .expect("a TLS client")
}

pub(crate) fn starttls(server: &FakeSmtp) -> Endpoint {
    Endpoint { security: ConnectionSecurity::StartTls(trusting(server)), ..plain(server) }
}

pub(crate) fn implicit_tls(server: &FakeSmtp) -> Endpoint {
    Endpoint { security: ConnectionSecurity::ImplicitTls(trusting(server)), ..plain(server) }
}

pub(crate) async fn connected(server: &FakeSmtp) -> Session {
    Session::connect(&plain(server)).await.expect("a session")
}

pub(crate) fn to(recipients: &[&str]) -> Envelope {
    let recipients = recipients.iter().map(|text| address(text)).collect();
    Envelope::new(Some(address("shop@example.org")), recipients).expect("an envelope")
}

pub(crate) fn ada() -> Envelope {
    to(&["ada@example.net"])
}

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

pub(crate) async fn proceed() -> Commit {
    Commit::Proceed
}

/// Sends the default message to Ada.
pub(crate) async fn send(session: &mut Session) -> Result<SendReport, SmtpError> {
    session.send(&ada(), MESSAGE, proceed()).await
}

#[track_caller]
pub(crate) fn receipt(result: Result<SendReport, SmtpError>) -> String {
    match result.expect("a result").outcome {
        SendOutcome::Accepted { reply } => reply.to_string(),
        other => panic!("not accepted: {other:?}"),
    }
}

/// Limits that no test reaches. A test shortens one of them.
pub(crate) fn long_limits() -> TimeLimits {
    TimeLimits {
        connect: TEST_TIMEOUT,
        tls: TEST_TIMEOUT,
        greeting: TEST_TIMEOUT,
        command: TEST_TIMEOUT,
        data: TEST_TIMEOUT,
        dot: TEST_TIMEOUT,
        dot_per_megabyte: Duration::ZERO,
        dot_max: TEST_TIMEOUT,
        quit: TEST_TIMEOUT,
    }
}

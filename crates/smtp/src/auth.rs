//! Login with AUTH PLAIN or AUTH LOGIN (RFC 4954).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret;

use crate::{
    capabilities::Capabilities,
    endpoint::Credentials,
    error::{ErrorKind, Phase, SmtpError, expect_positive},
    redaction::{Redaction, plain_response},
    reply::Reply,
    wire::Wire,
};

/// Reply that continues a login (RFC 4954 §4).
const CHALLENGE: u16 = 334;

/// Logs in with a mechanism that the server offers. PLAIN is preferred: one round trip instead of
/// three.
///
/// Replies are redacted from here on, because the server may echo the secret.
pub(crate) async fn log_in(
    wire: &mut Wire,
    credentials: &Credentials,
    offered: &Capabilities,
    limit: Duration,
) -> Result<(), SmtpError> {
    wire.redact(Redaction::of_login(&credentials.user, credentials.secret.expose_secret()));
    let reply = if offered.auth_plain {
        plain(wire, credentials, limit).await?
    } else if offered.auth_login {
        login(wire, credentials, limit).await?
    } else {
        return Err(SmtpError::new(Phase::Auth, ErrorKind::AuthMissing));
    };
    expect_positive(Phase::Auth, reply).map(drop)
}

/// Logs in with PLAIN. Some servers ignore the initial response and request it with a challenge
/// (RFC 4954 §4); it is then sent once more.
async fn plain(wire: &mut Wire, credentials: &Credentials, limit: Duration) -> Result<Reply, SmtpError> {
    let secret = credentials.secret.expose_secret();
    let response = STANDARD.encode(plain_response(&credentials.user, secret));
    let reply = wire.command(Phase::Auth, limit, &["AUTH PLAIN ", &response]).await?;
    if reply.code != CHALLENGE {
        return Ok(reply);
    }
    wire.command(Phase::Auth, limit, &[&response]).await
}

async fn login(wire: &mut Wire, credentials: &Credentials, limit: Duration) -> Result<Reply, SmtpError> {
    let user = STANDARD.encode(&credentials.user);
    let secret = STANDARD.encode(credentials.secret.expose_secret());
    let mut reply = wire.command(Phase::Auth, limit, &["AUTH LOGIN"]).await?;
    for response in [user, secret] {
        expect_challenge(reply)?;
        reply = wire.command(Phase::Auth, limit, &[&response]).await?;
    }
    Ok(reply)
}

fn expect_challenge(reply: Reply) -> Result<(), SmtpError> {
    if reply.code == CHALLENGE { Ok(()) } else { Err(SmtpError::new(Phase::Auth, reply)) }
}

//! Login by AUTH PLAIN or LOGIN.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret;

use crate::{
    capabilities::Capabilities,
    dial::expect_positive,
    endpoint::Credentials,
    error::{Phase, SmtpError, Trouble},
    reply::Reply,
    wire::Wire,
};

/// Logs in by what the server offers, PLAIN first: it is one round trip, LOGIN three.
pub(crate) async fn log_in(
    wire: &mut Wire,
    credentials: &Credentials,
    offered: &Capabilities,
    limit: Duration,
) -> Result<(), SmtpError> {
    let reply = if offered.auth_plain {
        plain(wire, credentials, limit).await?
    } else if offered.auth_login {
        login(wire, credentials, limit).await?
    } else {
        return Err(SmtpError::new(Phase::Auth, Trouble::AuthMissing));
    };
    expect_positive(Phase::Auth, reply).map(drop)
}

async fn plain(wire: &mut Wire, credentials: &Credentials, limit: Duration) -> Result<Reply, SmtpError> {
    let secret = credentials.secret.expose_secret();
    let response = STANDARD.encode(format!("\0{}\0{secret}", credentials.user));
    let parts = ["AUTH PLAIN ", &response];
    wire.command(Phase::Auth, limit, &parts).await
}

async fn login(wire: &mut Wire, credentials: &Credentials, limit: Duration) -> Result<Reply, SmtpError> {
    let user = STANDARD.encode(&credentials.user);
    let secret = STANDARD.encode(credentials.secret.expose_secret());
    let mut reply = wire.command(Phase::Auth, limit, &["AUTH LOGIN"]).await?;
    for answer in [user, secret] {
        expect_more(&reply)?;
        reply = wire.command(Phase::Auth, limit, &[&answer]).await?;
    }
    Ok(reply)
}

fn expect_more(reply: &Reply) -> Result<(), SmtpError> {
    if reply.is_intermediate() {
        return Ok(());
    }
    Err(SmtpError::new(Phase::Auth, Trouble::Refused(reply.clone())))
}

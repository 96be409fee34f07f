//! Opening of a connection: TCP, TLS, greeting, EHLO, login.

use std::{future::Future, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use crate::{
    auth::Login,
    capabilities::Capabilities,
    endpoint::{ConnectionSecurity, Endpoint},
    error::{ErrorKind, Phase, SmtpError, expect_positive},
    happy_eyeballs::connect,
    stream::Stream,
    tls::TlsClient,
    wire::Wire,
};

/// Opens a connection and completes all steps before the first MAIL. A login may need a second
/// connection, where the server closes the first one.
pub(crate) async fn dial(endpoint: &Endpoint) -> Result<(Wire, Capabilities), SmtpError> {
    let Some(credentials) = &endpoint.credentials else { return open(endpoint).await };
    let mut login = Login::new(credentials, endpoint.limits.command);
    loop {
        let (mut wire, offered) = open(endpoint).await?;
        if login.attempt(&mut wire, &offered).await? {
            return Ok((wire, offered));
        }
        wire.close();
    }
}

/// Opens a connection up to the reply to EHLO, with TLS as the endpoint requires.
async fn open(endpoint: &Endpoint) -> Result<(Wire, Capabilities), SmtpError> {
    let tcp = within(
        Phase::Connect,
        endpoint.limits.connect,
        connect(&endpoint.host, endpoint.port, endpoint.limits.connect),
    )
    .await?;
    match &endpoint.security {
        ConnectionSecurity::ImplicitTls(tls) => {
            let stream = start_tls(endpoint, tls, tcp).await?;
            greet(endpoint, Wire::new(stream)).await
        }
        ConnectionSecurity::StartTls(tls) => {
            let (wire, offered) = greet(endpoint, Wire::new(Stream::Plain(tcp))).await?;
            upgrade(endpoint, tls, wire, &offered).await
        }
        ConnectionSecurity::None => greet(endpoint, Wire::new(Stream::Plain(tcp))).await,
    }
}

async fn within<T>(
    phase: Phase,
    limit: Duration,
    work: impl Future<Output = Result<T, ErrorKind>>,
) -> Result<T, SmtpError> {
    timeout(limit, work).await.unwrap_or(Err(ErrorKind::Timeout(limit))).map_err(|kind| SmtpError::new(phase, kind))
}

async fn start_tls(endpoint: &Endpoint, tls: &TlsClient, tcp: TcpStream) -> Result<Stream, SmtpError> {
    let handshake = tls.handshake(&endpoint.host, tcp);
    let stream = within(Phase::Tls, endpoint.limits.tls, handshake).await?;
    Ok(Stream::Tls(Box::new(stream)))
}

/// Waits for the greeting and sends EHLO.
async fn greet(endpoint: &Endpoint, mut wire: Wire) -> Result<(Wire, Capabilities), SmtpError> {
    let greeting = wire.reply(Phase::Greeting, endpoint.limits.greeting).await?;
    expect_positive(Phase::Greeting, greeting)?;
    let offered = hello(endpoint, &mut wire).await?;
    Ok((wire, offered))
}

/// Sends STARTTLS, and EHLO again: nothing received before TLS counts after it (RFC 3207 §4.2).
async fn upgrade(
    endpoint: &Endpoint,
    tls: &TlsClient,
    mut wire: Wire,
    offered: &Capabilities,
) -> Result<(Wire, Capabilities), SmtpError> {
    let phase = Phase::StartTls;
    if !offered.starttls {
        return Err(SmtpError::new(phase, ErrorKind::StartTlsMissing));
    }
    let reply = wire.command(phase, endpoint.limits.command, &["STARTTLS"]).await?;
    expect_positive(phase, reply)?;
    if !wire.is_drained() {
        return Err(SmtpError::new(phase, ErrorKind::PlainAfterStartTls));
    }
    let Stream::Plain(tcp) = wire.into_stream() else {
        return Err(SmtpError::new(phase, ErrorKind::StartTlsMissing));
    };
    let mut wire = Wire::new(start_tls(endpoint, tls, tcp).await?);
    let offered = hello(endpoint, &mut wire).await?;
    Ok((wire, offered))
}

/// Sends EHLO, or HELO if the server does not know EHLO.
async fn hello(endpoint: &Endpoint, wire: &mut Wire) -> Result<Capabilities, SmtpError> {
    const UNKNOWN: [u16; 2] = [500, 502];
    let name = endpoint.hello_name.as_str();
    let limit = endpoint.limits.command;
    let reply = wire.command(Phase::Ehlo, limit, &["EHLO ", name]).await?;
    if UNKNOWN.contains(&reply.code) {
        let reply = wire.command(Phase::Ehlo, limit, &["HELO ", name]).await?;
        expect_positive(Phase::Ehlo, reply)?;
        return Ok(Capabilities::default());
    }
    let reply = expect_positive(Phase::Ehlo, reply)?;
    Ok(Capabilities::parse(&reply))
}

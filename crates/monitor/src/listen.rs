//! Opening the port.

use std::net::SocketAddr;

use anyhow::Context;
use postroom_core::{InvalidInput, Settings};
use tokio::net::TcpListener;

/// Opens the port that the settings name. An address that others can reach is refused without a password
/// ([`InvalidInput`]): the dashboard shows people's addresses and their mail.
pub async fn listen(settings: &Settings) -> anyhow::Result<TcpListener> {
    check(settings)?;
    let address = SocketAddr::new(settings.bind, settings.monitor_port);
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    Ok(listener)
}

fn check(settings: &Settings) -> Result<(), InvalidInput> {
    if settings.bind.is_loopback() || settings.monitor_password.is_some() {
        return Ok(());
    }
    let problem = format!(
        "{} can be reached from other machines, and the dashboard shows mail: set MONITOR_PASSWORD (or \
         MONITOR_PASSWORD_FILE), or listen on 127.0.0.1",
        settings.bind
    );
    Err(InvalidInput::new("BIND", problem))
}

//! Opening the port.

use std::net::SocketAddr;

use anyhow::Context;
use postroom_core::{InvalidInput, Settings, listener};
use secrecy::ExposeSecret;
use tokio::net::TcpListener;

/// Fewest characters of a password where others can reach the monitor.
const PASSWORD: usize = 8;

/// Opens the port that the settings name. Where others can reach the monitor it needs a password that takes long to
/// guess: the dashboard shows people's addresses and their mail.
///
/// # Errors
/// [`InvalidInput`] without such a password; else when the address can't be bound.
pub async fn listen(settings: &Settings) -> anyhow::Result<TcpListener> {
    check(settings)?;
    let address = SocketAddr::new(settings.bind, settings.monitor_port);
    listener::open(address).with_context(|| format!("listening on {address}"))
}

fn check(settings: &Settings) -> Result<(), InvalidInput> {
    if settings.bind.is_loopback() && settings.trusted_proxies.is_empty() {
        return Ok(());
    }
    let reach = if settings.bind.is_loopback() {
        "TRUSTED_PROXIES names a proxy that others can reach".to_owned()
    } else {
        format!("{} can be reached from other machines", settings.bind)
    };
    let field = if settings.bind.is_loopback() { "TRUSTED_PROXIES" } else { "BIND" };
    match &settings.monitor_password {
        None => Err(InvalidInput::new(
            field,
            format!(
                "{reach}, and the dashboard shows mail: set MONITOR_PASSWORD (or MONITOR_PASSWORD_FILE), or listen \
                 on 127.0.0.1 without a proxy"
            ),
        )),
        Some(password) if password.expose_secret().chars().count() < PASSWORD => {
            Err(InvalidInput::new("MONITOR_PASSWORD", format!("{reach}, so it needs at least {PASSWORD} characters")))
        }
        Some(_) => Ok(()),
    }
}

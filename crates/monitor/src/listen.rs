//! Opening of the port.

use std::net::SocketAddr;

use anyhow::Context;
use postroom_core::{InvalidInput, Settings, listener, settings::LEAST_MONITOR_PASSWORD};
use secrecy::ExposeSecret;
use tokio::net::TcpListener;

/// Opens the configured port. If other machines can reach it, a password of sufficient length is
/// required, because the dashboard shows addresses and mail.
///
/// # Errors
/// Returns [`InvalidInput`] without such a password, or an error if the address can't be bound.
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
        "TRUSTED_PROXIES names a proxy that other machines can reach".to_owned()
    } else {
        format!("other machines can reach {}", settings.bind)
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
        Some(password) if password.expose_secret().chars().count() < LEAST_MONITOR_PASSWORD => Err(InvalidInput::new(
            "MONITOR_PASSWORD",
            format!("{reach}, so the password needs at least {LEAST_MONITOR_PASSWORD} characters"),
        )),
        Some(_) => Ok(()),
    }
}

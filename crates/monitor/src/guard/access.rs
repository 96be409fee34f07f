//! Passwords, sessions and clients of the dashboard.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, request::Parts};
use postroom_core::{Settings, listener::ClientConnection, settings::Network};

use super::{
    log::WrongPasswordLog,
    password::Password,
    password_limiter::{self, PasswordLimiter},
    proxy::{self, ClientInfo},
    session::SessionKey,
};

/// Access control of the dashboard.
#[derive(Debug)]
pub(crate) struct AccessGuard {
    password: Option<Password>,
    session_key: SessionKey,
    /// Limiters of the login page and of programs, separate so that neither slows down the other.
    by_form: PasswordLimiter,
    by_program: PasswordLimiter,
    log: WrongPasswordLog,
    trusted_proxies: Vec<Network>,
    /// Whether the log has named the missing setting.
    is_proxy_logged: AtomicBool,
}

/// Source of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PasswordFrom {
    /// The login page.
    Form,
    /// HTTP Basic.
    Program,
}

/// Reason for refusing a password.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PasswordRefusal {
    Wrong,
    TooMany(Duration),
}

impl AccessGuard {
    pub(crate) fn new(settings: &Settings) -> Self {
        let password = settings.monitor_password.as_ref();
        Self {
            session_key: SessionKey::new(password),
            by_form: PasswordLimiter::default(),
            by_program: PasswordLimiter::default(),
            log: WrongPasswordLog::default(),
            trusted_proxies: settings.trusted_proxies.clone(),
            is_proxy_logged: AtomicBool::new(false),
            password: password.map(Password::new),
        }
    }

    /// Whether a password is set.
    pub(crate) fn requires_password(&self) -> bool {
        self.password.is_some()
    }

    pub(crate) fn session_key(&self) -> &SessionKey {
        &self.session_key
    }

    /// Returns the client of a request, considering trusted proxies.
    pub(crate) fn client(&self, parts: &Parts) -> ClientInfo {
        let connection = parts.extensions.get::<ClientConnection>();
        let peer = connection.map_or(Ipv4Addr::UNSPECIFIED.into(), |connection| connection.peer().ip());
        let client = proxy::client(&self.trusted_proxies, peer, &parts.headers);
        if client.address == peer.to_canonical() {
            self.log_proxy(peer, &parts.headers);
        }
        client
    }

    /// Checks a password. A wrong one causes a delay, during which the connection counts as waiting
    /// for its client.
    pub(crate) async fn try_password(
        &self,
        text: &str,
        by: PasswordFrom,
        parts: &Parts,
    ) -> Result<(), PasswordRefusal> {
        let Some(password) = &self.password else { return Ok(()) };
        let from = self.client(parts).address;
        let limiter = match by {
            PasswordFrom::Form => &self.by_form,
            PasswordFrom::Program => &self.by_program,
        };
        limiter.take(from, Instant::now()).map_err(PasswordRefusal::TooMany)?;
        if password.is(text) {
            limiter.refund(from);
            return Ok(());
        }
        self.log.note(from);
        if let Some(connection) = parts.extensions.get::<ClientConnection>() {
            connection.begin_wait();
        }
        tokio::time::sleep(password_limiter::DELAY).await;
        Err(PasswordRefusal::Wrong)
    }

    /// Logs once that all clients of a proxy count as one.
    fn log_proxy(&self, peer: IpAddr, headers: &HeaderMap) {
        let is_proxied = headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
        if is_proxied && !self.is_proxy_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "requests come through a proxy at {peer}, and all its clients count as one: to trust it, set \
                 TRUSTED_PROXIES={peer}"
            );
        }
    }
}
